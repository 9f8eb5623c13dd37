//! Places the parts of a formula by the rules of TeX (Knuth, The TeXbook, appendix G), with the heights of the
//! glyphs as they are painted.

use std::sync::Arc;

use egui::{
    Color32, CornerRadius, FontFamily, FontId, Galley, Painter, Pos2, Rect, Stroke, Vec2, pos2,
    vec2,
};

use super::parse::{Class, Face, Mark, Node};

// TeX's parameters, in em.
const AXIS: f32 = 0.25;
const X_HEIGHT: f32 = 0.431;
const RULE: f32 = 0.045;
const SUP: f32 = 0.39;
const SUB: f32 = 0.15;
const SUB_WITH_SUP: f32 = 0.247;
const SUP_DROP: f32 = 0.386;
const SUB_DROP: f32 = 0.05;
const SCRIPT_SPACE: f32 = 0.05;

/// How large and how roomy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// An equation of its own.
    Display,
    /// In a line of text.
    Text,
    /// An index.
    Script,
    /// An index's index.
    Tiny,
}

impl Style {
    const fn factor(self) -> f32 {
        match self {
            Self::Display | Self::Text => 1.0,
            Self::Script => 0.7,
            Self::Tiny => 0.55,
        }
    }

    const fn script(self) -> Self {
        match self {
            Self::Display | Self::Text => Self::Script,
            Self::Script | Self::Tiny => Self::Tiny,
        }
    }

    const fn fraction(self) -> Self {
        match self {
            Self::Display => Self::Text,
            other => other.script(),
        }
    }

    const fn roomy(self) -> bool {
        matches!(self, Self::Display | Self::Text)
    }
}

/// Something placed: it stands on a baseline and starts at x = 0.
#[derive(Debug, Clone, Default)]
pub struct Placed {
    /// To the right.
    pub width: f32,
    /// Above the baseline.
    pub height: f32,
    /// Below it.
    pub depth: f32,
    /// By how much the top leans out to the right.
    lean: f32,
    /// It is one character.
    single: bool,
    marks: Vec<(Vec2, Ink)>,
}

#[derive(Debug, Clone)]
enum Ink {
    /// Text, its top left at the place.
    Text(Arc<Galley>),
    /// A filled box of this size, its top left at the place.
    Rule(Vec2),
}

impl Placed {
    /// Nothing, so wide.
    pub fn space(width: f32) -> Self {
        Self {
            width,
            ..Self::default()
        }
    }

    /// To the right, with what leans out.
    pub fn extent(&self) -> f32 {
        self.width + self.lean
    }

    /// Adds `other` with its origin at `at` (y down).
    fn put(&mut self, other: &Self, at: Vec2) {
        self.height = self.height.max(other.height - at.y);
        self.depth = self.depth.max(other.depth + at.y);
        let marks = other.marks.iter().map(|(p, ink)| (*p + at, ink.clone()));
        self.marks.extend(marks);
    }

    fn rule(&mut self, at: Vec2, size: Vec2) {
        self.height = self.height.max(-at.y);
        self.depth = self.depth.max(at.y + size.y);
        self.marks.push((at, Ink::Rule(size)));
    }

    /// Adds `other` at the end.
    pub fn append(&mut self, other: &Self) {
        let at = vec2(self.width, 0.0);
        self.put(other, at);
        self.width += other.width;
    }

    /// Paints it with its origin at `origin`.
    pub fn paint(&self, painter: &Painter, origin: Pos2, colour: Color32) {
        let pixel = 1.0 / painter.pixels_per_point();
        for (at, ink) in &self.marks {
            match ink {
                Ink::Text(galley) => painter.galley(origin + *at, Arc::clone(galley), colour),
                Ink::Rule(size) => {
                    let min = origin + *at;
                    let size = size.max(Vec2::splat(pixel));
                    // On whole pixels, or thin lines look grey.
                    let snap = |v: f32| (v / pixel).round() * pixel;
                    let min = pos2(snap(min.x), snap(min.y));
                    let size = vec2(snap(size.x).max(pixel), snap(size.y).max(pixel));
                    painter.rect(
                        Rect::from_min_size(min, size),
                        CornerRadius::ZERO,
                        colour,
                        Stroke::NONE,
                        egui::StrokeKind::Inside,
                    );
                }
            }
        }
    }
}

/// Places formulas at one size of type.
pub struct Setter<'a> {
    /// For its fonts.
    pub painter: &'a Painter,
    /// Of the type, in points.
    pub size: f32,
}

impl Setter<'_> {
    const fn em(&self, style: Style) -> f32 {
        self.size * style.factor()
    }

    /// One piece of text from a family.
    fn glyphs(&self, text: &str, family: &'static str, em: f32) -> Placed {
        let font = FontId::new(em, FontFamily::Name(family.into()));
        let galley = self
            .painter
            .layout_no_wrap(text.to_owned(), font, Color32::PLACEHOLDER);
        let mut placed = Placed {
            width: galley.size().x,
            single: text.chars().count() == 1,
            ..Placed::default()
        };
        let Some(row) = galley.rows.first() else {
            return placed;
        };
        let mut baseline = 0.0;
        let (mut top, mut bottom, mut right) = (0.0_f32, 0.0_f32, 0.0_f32);
        for glyph in &row.glyphs {
            baseline = row.pos.y + glyph.pos.y;
            if glyph.uv_rect.is_nothing() {
                continue;
            }
            let ink = glyph.uv_rect;
            top = top.max(-ink.offset.y);
            bottom = bottom.max(ink.offset.y + ink.size.y);
            right = row.pos.x + glyph.pos.x + ink.offset.x + ink.size.x;
        }
        placed.height = top;
        placed.depth = bottom;
        placed.lean = (right - placed.width).max(0.0);
        placed.marks.push((vec2(0.0, -baseline), Ink::Text(galley)));
        placed
    }

    fn symbol(&self, c: char, face: Face, style: Style) -> Placed {
        let em = self.em(style);
        let family = match face {
            Face::Main => "math-main",
            Face::Italic => "math-italic",
            Face::Calligraphic => "math-calligraphic",
            Face::Double => "math-double",
            Face::Operator if style == Style::Display => "math-size2",
            Face::Operator => "math-size1",
        };
        let mut placed = self.glyphs(c.encode_utf8(&mut [0; 4]), family, em);
        if face == Face::Operator {
            placed = centred(&placed, AXIS * em);
        }
        placed
    }

    /// A node.
    pub fn set(&self, node: &Node, style: Style) -> Placed {
        let em = self.em(style);
        match node {
            Node::Symbol(c, face, _) => self.symbol(*c, *face, style),
            Node::Word(text, _) => self.glyphs(text, "math-main", em),
            Node::Space(width) => Placed::space(width * em),
            Node::Row(nodes) => self.row(nodes, style),
            Node::Scripts { base, sub, sup } => {
                self.scripts(base, sub.as_deref(), sup.as_deref(), style)
            }
            Node::Fraction(above, below) => self.fraction(above, below, style),
            Node::Root(body) => self.root(body, style),
            Node::Accent(mark, base) => self.accent(*mark, base, style),
            Node::Fence(left, body, right) => self.fence(*left, body, *right, style),
        }
    }

    /// Things one after the other, with the space that their classes ask for.
    fn row(&self, nodes: &[Node], style: Style) -> Placed {
        if let [node] = nodes {
            return self.set(node, style);
        }
        let mut all = Placed::default();
        for (placed, before) in self.spaced(nodes, style) {
            all.width += before;
            all.append(&placed);
        }
        all
    }

    /// The nodes of a row, placed, each with the space before it.
    pub fn spaced(&self, nodes: &[Node], style: Style) -> Vec<(Placed, f32)> {
        let classes = classes(nodes);
        let mut last: Option<Class> = None;
        let mut out = Vec::with_capacity(nodes.len());
        for (node, class) in nodes.iter().zip(classes) {
            let mut before = 0.0;
            if let Some(class) = class {
                if let Some(last) = last {
                    before = space(last, class, style.roomy()) * self.em(style) / 18.0;
                }
                last = Some(class);
            }
            let mut placed = self.set(node, style);
            // What leans over its box must not touch what follows.
            if matches!(node, Node::Symbol(_, Face::Italic | Face::Calligraphic, _)) {
                placed.width += placed.lean;
                placed.lean = 0.0;
            }
            out.push((placed, before));
        }
        out
    }

    fn scripts(&self, base: &Node, sub: Option<&Node>, sup: Option<&Node>, style: Style) -> Placed {
        let em = self.em(style);
        let small = style.script();
        let body = self.set(base, style);
        let sub = sub.map(|n| self.set(n, small));
        let sup = sup.map(|n| self.set(n, small));
        if style == Style::Display && matches!(base, Node::Symbol(_, Face::Operator, _)) {
            return limits(&body, sub.as_ref(), sup.as_ref(), em);
        }
        let small_em = self.em(small);
        let (mut up, mut down) = if body.single {
            (0.0, 0.0)
        } else {
            (
                body.height - SUP_DROP * small_em,
                body.depth + SUB_DROP * small_em,
            )
        };
        if let Some(sup) = &sup {
            up = up.max(SUP * em).max(sup.depth + 0.25 * X_HEIGHT * em);
        }
        if let Some(sub) = &sub {
            let least = if sup.is_some() { SUB_WITH_SUP } else { SUB };
            down = down.max(least * em).max(sub.height - 0.8 * X_HEIGHT * em);
        }
        if let (Some(sup), Some(sub)) = (&sup, &sub) {
            let gap = (up - sup.depth) - (sub.height - down);
            let least = 4.0 * RULE * em;
            if gap < least {
                down += least - gap;
                let low = 0.8 * X_HEIGHT * em - (up - sup.depth);
                if low > 0.0 {
                    up += low;
                    down -= low;
                }
            }
        }
        let mut all = Placed::default();
        all.put(&body, Vec2::ZERO);
        let mut end = body.width + body.lean;
        if let Some(sup) = &sup {
            let x = body.width + body.lean;
            all.put(sup, vec2(x, -up));
            end = end.max(x + sup.width);
        }
        if let Some(sub) = &sub {
            all.put(sub, vec2(body.width, down));
            end = end.max(body.width + sub.width);
        }
        all.width = end + SCRIPT_SPACE * em;
        all
    }

    fn fraction(&self, above: &Node, below: &Node, style: Style) -> Placed {
        let em = self.em(style);
        let above = self.set(above, style.fraction());
        let below = self.set(below, style.fraction());
        let rule = RULE * em;
        let clear = if style == Style::Display { 3.0 } else { 1.5 } * rule;
        let (least_up, least_down) = if style == Style::Display {
            (0.677, 0.686)
        } else {
            (0.394, 0.345)
        };
        let axis = AXIS * em;
        let up = (least_up * em).max(axis + rule / 2.0 + clear + above.depth);
        let down = (least_down * em).max(below.height - axis + rule / 2.0 + clear);
        let pad = 0.12 * em;
        let width = above.width.max(below.width) + 2.0 * 0.06 * em;
        let mut all = Placed {
            width: width + 2.0 * pad,
            ..Placed::default()
        };
        let x = |w: f32| pad + (width - w) / 2.0;
        all.put(&above, vec2(x(above.width), -up));
        all.put(&below, vec2(x(below.width), down));
        all.rule(vec2(pad, -axis - rule / 2.0), vec2(width, rule));
        all
    }

    fn root(&self, body: &Node, style: Style) -> Placed {
        let em = self.em(style);
        let body = self.set(body, style);
        let rule = RULE * em;
        let clear = rule
            + 0.25
                * if style == Style::Display {
                    X_HEIGHT * em
                } else {
                    rule
                };
        // Roots of the same formula look alike, so low letters count as tall ones.
        let height = body.height.max(0.6 * em);
        let needed = height + body.depth.max(0.1 * em) + clear + rule;
        let sign = self.grown('√', needed, em);
        let total = sign.height + sign.depth;
        let extra = (total - needed).max(0.0) / 2.0;
        let top = height + clear + extra + rule;
        let mut all = Placed::default();
        // The rule continues the sign's flat top.
        all.put(&sign, vec2(0.0, sign.height - top));
        let x = sign.width + sign.lean;
        all.put(&body, vec2(x, 0.0));
        all.rule(
            vec2(x - 0.02 * em, -top),
            vec2(body.width + body.lean + 0.06 * em, rule),
        );
        all.width = x + body.width + body.lean + 0.06 * em;
        all
    }

    fn accent(&self, mark: Mark, base: &Node, style: Style) -> Placed {
        let em = self.em(style);
        let body = self.set(base, style);
        let mut all = Placed::default();
        all.put(&body, Vec2::ZERO);
        all.width = body.width;
        all.lean = body.lean;
        all.single = body.single;
        let slanted = matches!(base, Node::Symbol(_, Face::Italic, _));
        let lean = match slanted {
            true if body.height > 0.6 * em => 0.09 * em,
            true => 0.035 * em,
            false => 0.0,
        };
        let middle = body.width / 2.0 + lean;
        if mark == Mark::Bar {
            let width = if body.single { 0.42 * em } else { body.width };
            let y = -(body.height.max(X_HEIGHT * em) + 0.12 * em + RULE * em);
            all.rule(vec2(middle - width / 2.0, y), vec2(width, RULE * em));
            return all;
        }
        let sign = match mark {
            Mark::Hat => "ˆ",
            Mark::Tilde | Mark::Bar => "˜",
        };
        let sign = self.glyphs(sign, "math-main", em);
        let raise = (body.height - X_HEIGHT * em).max(0.0);
        all.put(&sign, vec2(middle - sign.width / 2.0, -raise));
        all
    }

    fn fence(&self, left: Option<char>, body: &Node, right: Option<char>, style: Style) -> Placed {
        let em = self.em(style);
        let body = self.set(body, style);
        let axis = AXIS * em;
        let half = (body.height - axis).max(body.depth + axis).max(0.45 * em);
        let mut all = Placed::default();
        if let Some(c) = left {
            all.append(&self.bracket(c, 2.0 * half, em));
        }
        all.append(&body);
        if let Some(c) = right {
            all.append(&self.bracket(c, 2.0 * half, em));
        }
        all
    }

    fn bracket(&self, c: char, needed: f32, em: f32) -> Placed {
        let lines = match c {
            '∣' => 1,
            '∥' => 2,
            _ => {
                // As in TeX, a bracket may be a little shorter than what it holds.
                let sign = self.grown(c, (0.901 * needed).max(needed - 0.35 * em), em);
                return centred(&sign, AXIS * em);
            }
        };
        let needed = needed.max(em);
        let mut all = Placed::default();
        let (rule, gap) = (RULE * em, 0.17 * em);
        let mut x = 0.11 * em;
        for _ in 0..lines {
            all.rule(vec2(x, -AXIS * em - needed / 2.0), vec2(rule, needed));
            x += rule + gap;
        }
        all.width = x - gap + 0.11 * em;
        all
    }

    /// The smallest of the sizes of a sign that is at least so tall, or the largest.
    fn grown(&self, c: char, needed: f32, em: f32) -> Placed {
        let families = [
            "math-main",
            "math-size1",
            "math-size2",
            "math-size3",
            "math-size4",
        ];
        let mut sign = Placed::default();
        for family in families {
            sign = self.glyphs(c.encode_utf8(&mut [0; 4]), family, em);
            if sign.height + sign.depth >= needed {
                break;
            }
        }
        sign
    }
}

/// Moves a sign so that its middle is on the axis.
fn centred(sign: &Placed, axis: f32) -> Placed {
    let shift = (sign.height - sign.depth) / 2.0 - axis;
    let mut all = Placed::default();
    all.put(sign, vec2(0.0, shift));
    all.width = sign.width;
    all
}

/// A sum with what is below and above it.
fn limits(body: &Placed, sub: Option<&Placed>, sup: Option<&Placed>, em: f32) -> Placed {
    let width = [Some(body), sub, sup]
        .iter()
        .flatten()
        .map(|p| p.width)
        .fold(0.0, f32::max);
    let mut all = Placed {
        width,
        ..Placed::default()
    };
    let x = |p: &Placed| (width - p.width) / 2.0;
    all.put(body, vec2(x(body), 0.0));
    if let Some(sup) = sup {
        let y = body.height + (0.111 * em).max(0.2 * em - sup.depth) + sup.depth;
        all.put(sup, vec2(x(sup), -y));
    }
    if let Some(sub) = sub {
        let y = body.depth + (0.167 * em).max(0.6 * em - sub.height) + sub.height;
        all.put(sub, vec2(x(sub), y));
    }
    all
}

/// The classes of a row's nodes; a sign such as minus is binary only between two operands. `None` for spaces.
pub fn classes(nodes: &[Node]) -> Vec<Option<Class>> {
    let mut classes: Vec<Option<Class>> = nodes
        .iter()
        .map(|n| (!matches!(n, Node::Space(_))).then(|| n.class()))
        .collect();
    let mut last: Option<usize> = None;
    for i in 0..classes.len() {
        let Some(class) = classes[i] else { continue };
        let before = last.and_then(|l| classes[l]);
        match class {
            Class::Binary
                if matches!(
                    before,
                    None | Some(
                        Class::Binary
                            | Class::Operator
                            | Class::Relation
                            | Class::Open
                            | Class::Punctuation
                    )
                ) =>
            {
                classes[i] = Some(Class::Ordinary);
            }
            Class::Relation | Class::Close | Class::Punctuation
                if before == Some(Class::Binary) =>
            {
                if let Some(l) = last {
                    classes[l] = Some(Class::Ordinary);
                }
            }
            _ => {}
        }
        last = Some(i);
    }
    classes
}

/// Space between two classes, in eighteenths of an em.
fn space(left: Class, right: Class, roomy: bool) -> f32 {
    use Class::{Binary, Close, Inner, Open, Operator, Ordinary, Punctuation, Relation};
    let wide = |space: f32| if roomy { space } else { 0.0 };
    match (left, right) {
        (Open, _) | (_, Close) | (Relation, Relation) => 0.0,
        (Inner, Punctuation) | (Punctuation, _) => wide(3.0),
        (_, Punctuation) | (Operator, Open) => 0.0,
        (Relation, _) | (_, Relation) => wide(5.0),
        (Binary, _) | (_, Binary) => wide(4.0),
        (_, Operator) | (Operator, Ordinary) => 3.0,
        (_, Inner) | (Inner, _) => wide(3.0),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::parse::parse, *};

    fn classes_of(source: &str) -> Vec<Option<Class>> {
        match parse(source) {
            Ok(Node::Row(nodes)) => classes(&nodes),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_sign_between_operands_is_binary_and_elsewhere_is_not() {
        let binary = Some(Class::Binary);
        assert_eq!(classes_of("a-b")[1], binary);
        assert_ne!(classes_of("-b")[0], binary);
        assert_ne!(classes_of("(-b)")[1], binary);
        assert_ne!(classes_of("a=-b")[2], binary);
        assert_eq!(classes_of(r"a\,-b")[2], binary, "space does not count");
    }

    #[test]
    fn spaces_are_tex_s() {
        use Class::*;
        for (left, right, roomy, tight) in [
            (Ordinary, Relation, 5.0, 0.0),
            (Binary, Ordinary, 4.0, 0.0),
            (Punctuation, Ordinary, 3.0, 0.0),
            (Ordinary, Operator, 3.0, 3.0),
            (Operator, Ordinary, 3.0, 3.0),
            (Operator, Open, 0.0, 0.0),
            (Open, Ordinary, 0.0, 0.0),
            (Ordinary, Close, 0.0, 0.0),
            (Ordinary, Ordinary, 0.0, 0.0),
            (Ordinary, Inner, 3.0, 0.0),
            (Ordinary, Punctuation, 0.0, 0.0),
            (Ordinary, Open, 0.0, 0.0),
            (Relation, Relation, 0.0, 0.0),
        ] {
            assert_eq!(space(left, right, true), roomy, "{left:?} {right:?}");
            assert_eq!(space(left, right, false), tight, "{left:?} {right:?}");
        }
    }
}
