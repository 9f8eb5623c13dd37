//! Lets a kernel keep some of its operands as f16 in memory: the same source, with the arrays of these bindings
//! declared as `vec4<f16>`, their elements widened to f32 when they are read and rounded when they are written. All
//! arithmetic stays f32. An access that is not understood here does not validate, as the types then differ.

use super::unroll::{find_word, is_word};

const TYPE: &str = "array<vec4f>";

/// The source with the bindings of group 0 whose bits are set in `bindings` kept as f16.
///
/// # Errors
/// The number of a binding that is no array of `vec4f`.
pub fn keep_as_f16(source: &str, bindings: u32) -> Result<String, u32> {
    let mut text = without_comments(source);
    for binding in (0..32).filter(|b| bindings & (1 << b) != 0) {
        let name = name_of(&text, binding).ok_or(binding)?.to_owned();
        text = narrow(&text, &name);
        let declared = format!("{name}: {TYPE};");
        text = text.replacen(&declared, &format!("{name}: array<vec4<f16>>;"), 1);
    }
    Ok(format!("enable f16;\n{text}"))
}

fn without_comments(source: &str) -> String {
    let code = |line: &'_ str| line.find("//").map_or(line.len(), |at| at);
    let lines = source.lines().map(|l| l[..code(l)].trim_end());
    let mut out = String::with_capacity(source.len());
    for line in lines {
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// The name of a storage binding of group 0 that holds an array of `vec4f`.
fn name_of(text: &str, binding: u32) -> Option<&str> {
    let head = format!("@group(0) @binding({binding}) var<storage, read_write> ");
    let rest = &text[text.find(&head)? + head.len()..];
    let (name, kind) = rest.split_once(';')?.0.split_once(": ")?;
    (kind == TYPE && name.bytes().all(is_word)).then_some(name)
}

/// The text with reads of `name[…]` widened and what is written to it rounded.
fn narrow(text: &str, name: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    let mut done = 0;
    while let Some(at) = find_word(text, name, done) {
        let after = at + name.len();
        out.push_str(&text[done..at]);
        done = after;
        let Some(close) = closing_bracket(text, after) else {
            out.push_str(name);
            continue;
        };
        let index = narrow(&text[after + 1..close], name);
        let place = format!("{name}[{index}]");
        done = close + 1;
        let Some((operator, value)) = assignment(&text[done..]) else {
            out.push_str(&format!("vec4f({place})"));
            continue;
        };
        let written = narrow(value.0, name);
        done += value.1;
        out.push_str(&match operator {
            None => format!("{place} = vec4<f16>({written})"),
            Some(o) => format!("{place} = vec4<f16>(vec4f({place}) {o} ({written}))"),
        });
    }
    out.push_str(&text[done..]);
    out
}

/// The place of the bracket that closes the one at `open`, if there is one.
fn closing_bracket(text: &str, open: usize) -> Option<usize> {
    let mut depth = 0;
    for (i, byte) in text.bytes().enumerate().skip(open) {
        match byte {
            b'[' => depth += 1,
            b']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return (byte == b']').then_some(i);
        }
    }
    None
}

/// Of a text that starts with `= value;` or `+= value;`: the operator, the value, and where it ends.
fn assignment(text: &str) -> Option<(Option<char>, (&str, usize))> {
    let trimmed = text.trim_start();
    let mut operator = trimmed.chars().next()?;
    let mut rest = trimmed;
    if "+-*/".contains(operator) {
        rest = &rest[1..];
    } else {
        operator = '=';
    }
    let value = rest.strip_prefix('=').filter(|v| !v.starts_with('='))?;
    let end = value.find(';')?;
    let start = text.len() - value.len();
    let operator = (operator != '=').then_some(operator);
    Some((operator, (value[..end].trim(), start + end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_widened_and_writes_are_rounded() {
        let source = "
@group(0) @binding(1) var<storage, read_write> x: array<vec4f>;  // x[i] in a comment; stays out
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> n: array<u32>;
fn f(i: u32) {
    let v = x[i + table.x[2]].xy;
    if x[n[i]].x == 1.0 { y[i] = max(x[i], y[i]) * 2.0; }
    y[2u * i] += v;
    x[i] -= y[i];
    other.x = 1.0;
}
";
        let text = keep_as_f16(source, 0b110).expect("two arrays");
        for part in [
            "enable f16;\n",
            "x: array<vec4<f16>>;",
            "y: array<vec4<f16>>;",
            "n: array<u32>;",
            "let v = vec4f(x[i + table.x[2]]).xy;",
            "if vec4f(x[n[i]]).x == 1.0 { y[i] = vec4<f16>(max(vec4f(x[i]), vec4f(y[i])) * 2.0); }",
            "y[2u * i] = vec4<f16>(vec4f(y[2u * i]) + (v));",
            "x[i] = vec4<f16>(vec4f(x[i]) - (vec4f(y[i])));",
            "other.x = 1.0;",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(!text.contains("comment"));
        assert_eq!(keep_as_f16(source, 0b1000), Err(3));
        assert_eq!(keep_as_f16(source, 0b10000), Err(4));
    }
}
