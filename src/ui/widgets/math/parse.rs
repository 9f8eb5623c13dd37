//! Reads the subset of TeX that the app's formulas need.

use std::{iter::Peekable, str::Chars};

/// A part of a formula.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// One character.
    Symbol(char, Face, Class),
    /// Upright letters that belong together: the name of a function, or text.
    Word(String, Class),
    /// Horizontal space, in em.
    Space(f32),
    /// Things one after the other.
    Row(Vec<Self>),
    /// Something with an index, an exponent or both.
    Scripts {
        /// What carries them.
        base: Box<Self>,
        /// Below.
        sub: Option<Box<Self>>,
        /// Above.
        sup: Option<Box<Self>>,
    },
    /// One above the other.
    Fraction(Box<Self>, Box<Self>),
    /// Square root.
    Root(Box<Self>),
    /// A mark above.
    Accent(Mark, Box<Self>),
    /// Brackets that grow; `None` for a side without one.
    Fence(Option<char>, Box<Self>, Option<char>),
}

/// Which font a character is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Face {
    /// Upright.
    Main,
    /// Letters of variables.
    Italic,
    /// `\mathcal`.
    Calligraphic,
    /// `\mathbb`.
    Double,
    /// Sums and products.
    Operator,
}

/// What a part is to its neighbours; it decides the space between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A variable or number.
    Ordinary,
    /// Sum, function.
    Operator,
    /// Plus, minus, times.
    Binary,
    /// Equals and the like.
    Relation,
    /// Opening bracket.
    Open,
    /// Closing bracket.
    Close,
    /// Comma.
    Punctuation,
    /// Fraction, fence.
    Inner,
}

/// A mark above a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// A prediction.
    Hat,
    /// Something alike.
    Tilde,
    /// A cumulative product.
    Bar,
}

/// Letters and signs by their command.
pub(super) const SYMBOLS: [(&str, char, Face, Class); 58] = {
    use Class::{
        Binary as B, Close as C, Open as P, Ordinary as O, Punctuation as U, Relation as R,
    };
    use Face::{Italic as I, Main as M};
    [
        ("alpha", 'α', I, O),
        ("beta", 'β', I, O),
        ("gamma", 'γ', I, O),
        ("delta", 'δ', I, O),
        ("epsilon", 'ϵ', I, O),
        ("varepsilon", 'ε', I, O),
        ("eta", 'η', I, O),
        ("theta", 'θ', I, O),
        ("lambda", 'λ', I, O),
        ("mu", 'μ', I, O),
        ("nu", 'ν', I, O),
        ("pi", 'π', I, O),
        ("rho", 'ρ', I, O),
        ("sigma", 'σ', I, O),
        ("tau", 'τ', I, O),
        ("phi", 'ϕ', I, O),
        ("varphi", 'φ', I, O),
        ("psi", 'ψ', I, O),
        ("omega", 'ω', I, O),
        ("Gamma", 'Γ', M, O),
        ("Delta", 'Δ', M, O),
        ("Theta", 'Θ', M, O),
        ("Sigma", 'Σ', M, O),
        ("Phi", 'Φ', M, O),
        ("Omega", 'Ω', M, O),
        ("infty", '∞', M, O),
        ("nabla", '∇', M, O),
        ("partial", '∂', M, O),
        ("ell", 'ℓ', M, O),
        ("top", '⊤', M, O),
        ("ldots", '…', M, O),
        ("cdots", '⋯', M, O),
        ("forall", '∀', M, O),
        ("cdot", '⋅', M, B),
        ("times", '×', M, B),
        ("odot", '⊙', M, B),
        ("oplus", '⊕', M, B),
        ("ast", '∗', M, B),
        ("pm", '±', M, B),
        ("circ", '∘', M, B),
        ("mid", '∣', M, R),
        ("sim", '∼', M, R),
        ("approx", '≈', M, R),
        ("equiv", '≡', M, R),
        ("propto", '∝', M, R),
        ("neq", '\u{e020}', M, R),
        ("le", '≤', M, R),
        ("ge", '≥', M, R),
        ("ll", '≪', M, R),
        ("gg", '≫', M, R),
        ("in", '∈', M, R),
        ("to", '→', M, R),
        ("gets", '←', M, R),
        ("lVert", '∥', M, P),
        ("rVert", '∥', M, C),
        ("lvert", '∣', M, P),
        ("rvert", '∣', M, C),
        ("colon", ':', M, U),
    ]
};

const FUNCTIONS: [&str; 9] = ["sin", "cos", "tan", "exp", "log", "ln", "min", "max", "arg"];

/// Reads a formula.
///
/// # Errors
/// What is not understood, in a few words.
pub fn parse(source: &str) -> Result<Node, String> {
    let mut parser = Parser {
        rest: source.chars().peekable(),
        depth: 0,
    };
    let nodes = parser.row(End::Source)?;
    Ok(Node::Row(nodes))
}

/// What ends a row.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Source,
    Brace,
    /// `\right`.
    Right,
}

struct Parser<'a> {
    rest: Peekable<Chars<'a>>,
    depth: usize,
}

impl Parser<'_> {
    fn row(&mut self, end: End) -> Result<Vec<Node>, String> {
        self.depth += 1;
        if self.depth > 40 {
            return Err("nested too deeply".into());
        }
        let mut nodes = Vec::new();
        loop {
            let Some(&c) = self.rest.peek() else {
                if end == End::Source {
                    break;
                }
                return Err("something is not closed".into());
            };
            match c {
                ' ' => {
                    self.rest.next();
                }
                '}' if end == End::Brace => {
                    self.rest.next();
                    break;
                }
                '}' => return Err("a brace too many".into()),
                '^' | '_' => {
                    self.rest.next();
                    let script = self.argument()?;
                    attach(&mut nodes, c == '^', script)?;
                }
                '\'' => {
                    self.rest.next();
                    let prime = Node::Symbol('′', Face::Main, Class::Ordinary);
                    attach(&mut nodes, true, prime)?;
                }
                '\\' => {
                    let name = self.command();
                    if name == "right" {
                        if end != End::Right {
                            return Err("\\right without \\left".into());
                        }
                        break;
                    }
                    nodes.push(self.named(&name)?);
                }
                _ => nodes.push(self.atom()?),
            }
        }
        self.depth -= 1;
        Ok(nodes)
    }

    /// The name of the command at hand, with its backslash passed over.
    fn command(&mut self) -> String {
        self.rest.next();
        let mut name = String::new();
        while let Some(c) = self.rest.next_if(char::is_ascii_alphabetic) {
            name.push(c);
        }
        if name.is_empty() {
            name.extend(self.rest.next());
        }
        name
    }

    /// What a command or a script applies to.
    fn argument(&mut self) -> Result<Node, String> {
        while self.rest.next_if_eq(&' ').is_some() {}
        match self.rest.peek() {
            None => Err("something is missing at the end".into()),
            Some('\\') => {
                let name = self.command();
                self.named(&name)
            }
            Some(_) => self.atom(),
        }
    }

    /// A group in braces or a character.
    fn atom(&mut self) -> Result<Node, String> {
        match self.rest.next() {
            Some('{') => Ok(Node::Row(self.row(End::Brace)?)),
            Some(c) => character(c),
            None => Err("something is missing at the end".into()),
        }
    }

    /// The letters of a group, as they are.
    fn letters(&mut self) -> Result<String, String> {
        if self.rest.next() != Some('{') {
            return Err("a brace is missing".into());
        }
        let mut text = String::new();
        loop {
            match self.rest.next() {
                Some('}') => return Ok(text),
                Some(c) => text.push(c),
                None => return Err("something is not closed".into()),
            }
        }
    }

    fn bracket(&mut self) -> Result<Option<char>, String> {
        while self.rest.next_if_eq(&' ').is_some() {}
        match self.rest.peek() {
            Some('\\') => match self.command().as_str() {
                "|" | "lVert" | "rVert" => Ok(Some('∥')),
                "{" => Ok(Some('{')),
                "}" => Ok(Some('}')),
                "lceil" => Ok(Some('⌈')),
                "rceil" => Ok(Some('⌉')),
                "lfloor" => Ok(Some('⌊')),
                "rfloor" => Ok(Some('⌋')),
                other => Err(format!("\\{other} is no bracket")),
            },
            Some('.') => {
                self.rest.next();
                Ok(None)
            }
            Some(&c @ ('(' | ')' | '[' | ']' | '|')) => {
                self.rest.next();
                Ok(Some(if c == '|' { '∣' } else { c }))
            }
            _ => Err("a bracket is missing".into()),
        }
    }

    fn named(&mut self, name: &str) -> Result<Node, String> {
        if let Some((_, c, face, class)) = SYMBOLS.iter().find(|s| s.0 == name) {
            return Ok(Node::Symbol(*c, *face, *class));
        }
        if FUNCTIONS.contains(&name) {
            return Ok(Node::Word(name.to_owned(), Class::Operator));
        }
        Ok(match name {
            "," => Node::Space(3.0 / 18.0),
            ":" => Node::Space(4.0 / 18.0),
            ";" => Node::Space(5.0 / 18.0),
            "!" => Node::Space(-3.0 / 18.0),
            " " => Node::Space(0.25),
            "quad" => Node::Space(1.0),
            "qquad" => Node::Space(2.0),
            "|" => Node::Symbol('∥', Face::Main, Class::Ordinary),
            "{" => Node::Symbol('{', Face::Main, Class::Open),
            "}" => Node::Symbol('}', Face::Main, Class::Close),
            "sum" => Node::Symbol('∑', Face::Operator, Class::Operator),
            "prod" => Node::Symbol('∏', Face::Operator, Class::Operator),
            "hat" => Node::Accent(Mark::Hat, Box::new(self.argument()?)),
            "tilde" => Node::Accent(Mark::Tilde, Box::new(self.argument()?)),
            "bar" => Node::Accent(Mark::Bar, Box::new(self.argument()?)),
            "sqrt" => Node::Root(Box::new(self.argument()?)),
            "frac" => {
                let above = self.argument()?;
                Node::Fraction(Box::new(above), Box::new(self.argument()?))
            }
            "mathcal" => self.faced(Face::Calligraphic)?,
            "mathbb" => self.faced(Face::Double)?,
            "mathrm" | "text" => Node::Word(self.letters()?, Class::Ordinary),
            "operatorname" => Node::Word(self.letters()?, Class::Operator),
            "left" => {
                let left = self.bracket()?;
                let body = self.row(End::Right)?;
                Node::Fence(left, Box::new(Node::Row(body)), self.bracket()?)
            }
            other => return Err(format!("\\{other} is not known")),
        })
    }

    fn faced(&mut self, face: Face) -> Result<Node, String> {
        let letters = self.letters()?;
        if !letters.chars().all(|c| c.is_ascii_uppercase()) {
            return Err("this face has capital letters alone".into());
        }
        let mut nodes: Vec<Node> = letters
            .chars()
            .map(|c| Node::Symbol(c, face, Class::Ordinary))
            .collect();
        match nodes.pop() {
            Some(only) if nodes.is_empty() => Ok(only),
            last => {
                nodes.extend(last);
                Ok(Node::Row(nodes))
            }
        }
    }
}

fn character(c: char) -> Result<Node, String> {
    let (shown, face, class) = match c {
        'a'..='z' | 'A'..='Z' => (c, Face::Italic, Class::Ordinary),
        '0'..='9' | '.' | '/' | '!' | '%' => (c, Face::Main, Class::Ordinary),
        '|' => ('∣', Face::Main, Class::Ordinary),
        '+' => (c, Face::Main, Class::Binary),
        '-' => ('−', Face::Main, Class::Binary),
        '*' => ('∗', Face::Main, Class::Binary),
        '=' | '<' | '>' | ':' => (c, Face::Main, Class::Relation),
        '(' | '[' => (c, Face::Main, Class::Open),
        ')' | ']' => (c, Face::Main, Class::Close),
        ',' | ';' => (c, Face::Main, Class::Punctuation),
        _ => return Err(format!("the character {c} is not known")),
    };
    Ok(Node::Symbol(shown, face, class))
}

/// Hangs an index or an exponent on the last part.
fn attach(nodes: &mut Vec<Node>, above: bool, script: Node) -> Result<(), String> {
    let base = nodes.pop().unwrap_or_else(|| Node::Row(Vec::new()));
    let (base, mut sub, mut sup) = match base {
        Node::Scripts { base, sub, sup } => (base, sub, sup),
        other => (Box::new(other), None, None),
    };
    let place = if above { &mut sup } else { &mut sub };
    if place.is_some() {
        return Err("two indices or two exponents".into());
    }
    *place = Some(Box::new(script));
    nodes.push(Node::Scripts { base, sub, sup });
    Ok(())
}

impl Node {
    /// What it is to its neighbours.
    pub fn class(&self) -> Class {
        match self {
            Self::Symbol(_, _, class) | Self::Word(_, class) => *class,
            Self::Scripts { base, .. } => base.class(),
            Self::Row(nodes) if nodes.len() == 1 => nodes[0].class(),
            Self::Fraction(..) | Self::Fence(..) => Class::Inner,
            Self::Space(_) | Self::Row(_) | Self::Root(_) | Self::Accent(..) => Class::Ordinary,
        }
    }

    /// As one would read it aloud.
    pub fn spoken(&self) -> String {
        let mut words = Vec::new();
        self.speak(&mut words);
        words.join(" ")
    }

    fn speak(&self, words: &mut Vec<String>) {
        match self {
            Self::Space(_) => {}
            Self::Symbol(c, face, _) => words.push(name_of(*c, *face)),
            Self::Word(text, _) => words.push(text.trim().to_owned()),
            Self::Row(nodes) => nodes.iter().for_each(|n| n.speak(words)),
            Self::Scripts { base, sub, sup } => {
                let ranged = matches!(**base, Self::Symbol(_, Face::Operator, _));
                base.speak(words);
                if let Some(sub) = sub {
                    words.push(if ranged { "from" } else { "sub" }.into());
                    sub.speak(words);
                }
                match sup.as_deref().map(Self::spoken).as_deref() {
                    None => {}
                    Some("2") => words.push("squared".into()),
                    Some("prime") => words.push("prime".into()),
                    Some("transpose") => words.push("transpose".into()),
                    Some(power) => {
                        words.push(if ranged { "to" } else { "to the power" }.into());
                        words.push(power.to_owned());
                    }
                }
            }
            Self::Fraction(above, below) => {
                above.speak(words);
                words.push("over".into());
                below.speak(words);
                words.push("end fraction".into());
            }
            Self::Root(body) => {
                words.push("square root of".into());
                body.speak(words);
                words.push("end root".into());
            }
            Self::Accent(mark, base) => {
                base.speak(words);
                words.push(
                    match mark {
                        Mark::Hat => "hat",
                        Mark::Tilde => "tilde",
                        Mark::Bar => "bar",
                    }
                    .into(),
                );
            }
            Self::Fence(left, body, right) => {
                if let Some(c) = left {
                    words.push(name_of(*c, Face::Main));
                }
                body.speak(words);
                if let Some(c) = right {
                    words.push(name_of(*c, Face::Main));
                }
            }
        }
    }
}

fn name_of(c: char, face: Face) -> String {
    let known = match c {
        '∑' => "sum",
        '∏' => "product",
        '−' => "minus",
        '+' => "plus",
        '=' => "equals",
        '<' => "is less than",
        '>' => "is greater than",
        '∣' => "given",
        '∥' => "norm",
        '∼' => "is drawn from",
        '≈' => "is about",
        '≤' => "is at most",
        '≥' => "is at least",
        '∈' => "in",
        '→' => "to",
        '⋅' | '×' | '⊙' => "times",
        '/' => "over",
        '′' => "prime",
        '⊤' => "transpose",
        '∞' => "infinity",
        '…' | '⋯' => "and so on",
        'ϵ' => "epsilon",
        _ => "",
    };
    if !known.is_empty() {
        return known.into();
    }
    if let Some((name, ..)) = SYMBOLS.iter().find(|s| s.1 == c && c.is_alphabetic()) {
        return (*name).into();
    }
    match face {
        Face::Double if c == 'E' => "expectation".into(),
        _ => c.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spoken(source: &str) -> String {
        parse(source).unwrap().spoken()
    }

    #[test]
    fn formulas_are_read_aloud() {
        for (source, words) in [
            ("x_t", "x sub t"),
            (r"\hat x_0", "x hat sub 0"),
            (
                r"\sqrt{1-\bar\alpha_t}",
                "square root of 1 minus alpha bar sub t end root",
            ),
            (
                r"\frac{1}{\sqrt{\alpha_t}}",
                "1 over square root of alpha sub t end root end fraction",
            ),
            (r"\left\|\epsilon\right\|^2", "norm epsilon norm squared"),
            (r"\sum_{i=1}^{N} i", "sum from i equals 1 to N i"),
            (r"K^\top", "K transpose"),
            (r"\mathbb{E}_{t}", "expectation sub t"),
            (r"q(x_t \mid x_0)", "q ( x sub t given x sub 0 )"),
            (r"x'", "x prime"),
            (r"\operatorname{softmax}(a)", "softmax ( a )"),
        ] {
            assert_eq!(spoken(source), words, "{source}");
        }
    }

    #[test]
    fn scripts_hang_on_what_is_before_them() {
        let Ok(Node::Row(nodes)) = parse("ab_c^{d+1}") else {
            panic!("a row")
        };
        assert_eq!(nodes.len(), 2);
        let Node::Scripts { base, sub, sup } = &nodes[1] else {
            panic!("scripts: {nodes:?}")
        };
        assert_eq!(**base, Node::Symbol('b', Face::Italic, Class::Ordinary));
        assert!(sub.is_some());
        assert_eq!(
            sup.as_deref().map(Node::spoken).as_deref(),
            Some("d plus 1")
        );
    }

    #[test]
    fn classes_follow_the_sign() {
        for (source, class) in [
            ("=", Class::Relation),
            (r"\mid", Class::Relation),
            ("-", Class::Binary),
            ("(", Class::Open),
            (r"\frac ab", Class::Inner),
            (r"\bar\alpha", Class::Ordinary),
            (r"{x}", Class::Ordinary),
        ] {
            let node = parse(source).unwrap();
            assert_eq!(node.class(), class, "{source}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for source in [
            "{x",
            "x}",
            r"\left( x",
            r"x \right)",
            r"\foo",
            "x_a_b",
            "x^",
            r"\frac{1}",
            r"\left x\right)",
            r"\mathcal{n}",
            "é",
            "\\",
            &"{".repeat(200),
        ] {
            assert!(parse(source).is_err(), "{source}");
        }
    }
}
