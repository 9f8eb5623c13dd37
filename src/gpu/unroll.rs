//! Unrolls the loops of a kernel's source whose bounds are constants, and turns the arrays that they index into
//! variables. Compilers of GPU drivers do so themselves; SwiftShader, which browsers use where there is no GPU, keeps
//! both, and runs such a kernel ten times slower.

use std::collections::HashMap;

/// Loops of more turns stay loops: they would be more text than they save.
const MOST_TURNS: u32 = 8;

/// The source with every `for (var i = 0u; i < BOUND; i++) { … }` unrolled where BOUND is one of the constants (or a
/// number) and at most 8. An array of constant length becomes variables `name_0`, `name_1`, … if all its indices in
/// the function are then known. `break` and `continue` of such a loop are not allowed for.
pub fn unroll(source: &str, constants: &[(&str, u32)]) -> String {
    let constants: HashMap<&str, u32> = constants.iter().copied().collect();
    let mut out = String::with_capacity(2 * source.len());
    let mut rest = source;
    // Functions one by one, since they may use a name for different things.
    while let Some(start) = find_function(rest) {
        let Some(open) = rest[start..].find('{').map(|at| start + at) else {
            break;
        };
        let end = block_end(rest, open);
        out.push_str(&rest[..start]);
        let body = unroll_loops(&rest[start..end], &constants);
        out.push_str(&name_elements(&body, &constants));
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

/// Where the next function begins.
fn find_function(text: &str) -> Option<usize> {
    if text.starts_with("fn ") {
        return Some(0);
    }
    text.find("\nfn ").map(|at| at + 1)
}

/// Behind the brace that closes the one at `open`.
fn block_end(text: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, byte) in text.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return at + 1;
        }
    }
    text.len()
}

fn unroll_loops(text: &str, constants: &HashMap<&str, u32>) -> String {
    const HEAD: &str = "for (var ";
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(HEAD) {
        let head_end = rest[at..].find('{').map_or(rest.len(), |open| at + open);
        let found = loop_of(&rest[at..head_end], constants);
        let Some((variable, turns)) = found.filter(|(_, turns)| *turns <= MOST_TURNS) else {
            out.push_str(&rest[..at + HEAD.len()]);
            rest = &rest[at + HEAD.len()..];
            continue;
        };
        let end = block_end(rest, head_end);
        out.push_str(&rest[..at]);
        let body = unroll_loops(&rest[head_end..end], constants);
        for turn in 0..turns {
            out.push_str(&replace_word(&body, variable, &format!("{turn}u")));
            out.push('\n');
        }
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

/// The variable and the number of turns of `for (var i = 0u; i < N; i++) `.
fn loop_of<'a>(head: &'a str, constants: &HashMap<&str, u32>) -> Option<(&'a str, u32)> {
    let inner = head.trim_end().strip_prefix("for (var ")?;
    let mut parts = inner.strip_suffix(')')?.split(';').map(str::trim);
    let variable = parts.next()?.strip_suffix(" = 0u")?;
    let bound = parts.next()?.strip_prefix(variable)?.strip_prefix(" < ")?;
    let step = parts.next()?.strip_prefix(variable)?;
    (step == "++").then_some(())?;
    Some((variable, value(bound, constants)?))
}

/// The value of a sum of products of numbers and constants.
fn value(expression: &str, constants: &HashMap<&str, u32>) -> Option<u32> {
    let factor = |text: &str| {
        let text = text.trim();
        let digits = text.strip_suffix('u').unwrap_or(text);
        digits.parse().ok().or_else(|| constants.get(text).copied())
    };
    let term = |text: &str| text.split('*').map(factor).product::<Option<u32>>();
    expression.split('+').map(term).sum()
}

pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Where a name stands as a whole word that is no member, from `from` on.
pub(super) fn find_word(text: &str, word: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = from;
    while let Some(found) = text[at..].find(word) {
        let start = at + found;
        at = start + word.len();
        let before = start.checked_sub(1).map(|i| bytes[i]);
        let free = before.is_none_or(|b| !is_word(b) && b != b'.');
        if free && bytes.get(at).is_none_or(|&b| !is_word(b)) {
            return Some(start);
        }
    }
    None
}

fn replace_word(text: &str, word: &str, by: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    while let Some(at) = find_word(text, word, done) {
        out.push_str(&text[done..at]);
        out.push_str(by);
        done = at + word.len();
    }
    out.push_str(&text[done..]);
    out
}

/// `var name: array<T, N>;` as N variables, for each such array of a function.
fn name_elements(function: &str, constants: &HashMap<&str, u32>) -> String {
    let mut text = function.to_owned();
    let mut from = 0;
    while let Some(found) = text[from..].find("var ") {
        let start = from + found;
        from = start + 4;
        let Some((name, kind, count)) = array_of(&text[start..], constants) else {
            continue;
        };
        if let Some(named) = with_elements(&text, &name, &kind, count, constants) {
            text = named;
        }
    }
    text
}

/// Name, type and length of the array that `var name: array<T, N>;` at the start of a text declares.
fn array_of(text: &str, constants: &HashMap<&str, u32>) -> Option<(String, String, u32)> {
    let (declared, _) = text.strip_prefix("var ")?.split_once(';')?;
    let (name, kind) = declared.split_once(": array<")?;
    let (kind, count) = kind.strip_suffix('>')?.split_once(", ")?;
    let name = name.trim();
    let simple = name.bytes().all(is_word) && !kind.contains('<');
    let count = value(count, constants)?;
    simple.then(|| (name.to_owned(), kind.to_owned(), count))
}

/// The function with that array as variables; nothing where an index is not known or the array is used as a whole.
fn with_elements(
    text: &str,
    name: &str,
    kind: &str,
    count: u32,
    constants: &HashMap<&str, u32>,
) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    while let Some(at) = find_word(text, name, done) {
        let after = at + name.len();
        out.push_str(&text[done..at]);
        if text[after..].starts_with(": array<") {
            // "var " has been copied already.
            for i in 0..count {
                let var = if i == 0 { "" } else { "; var " };
                out.push_str(&format!("{var}{name}_{i}: {kind}"));
            }
            done = after + text[after..].find(';')?;
            continue;
        }
        let index = text[after..].strip_prefix('[')?;
        let close = index.find(']')?;
        let index = value(&index[..close], constants)?;
        (index < count).then_some(())?;
        out.push_str(&format!("{name}_{index}"));
        done = after + 1 + close + 1;
    }
    out.push_str(&text[done..]);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "
var<workgroup> queries: array<vec4f, 4>;
fn one(i: u32) {
    var queries: array<vec4f, ROWS * WIDTH>;
    var kept: array<f32, ROWS>;
    for (var i = 0u; i < ROWS; i++) {
        for (var d = 0u; d < WIDTH; d++) {
            queries[i * WIDTH + d] = a.i + q[at + d];
        }
        kept[i] = 0.0;
    }
    for (var key = 0u; key < params.tokens; key++) {
        out[key] = kept[key % ROWS];
    }
}
fn two() {
    for (var i = 0u; i < LONG; i++) { queries[i] = vec4f(); }
}
";

    #[test]
    fn loops_and_arrays_become_text() {
        let text = unroll(SOURCE, &[("ROWS", 2), ("WIDTH", 3), ("LONG", 40)]);
        let squeezed: Vec<&str> = text.split_whitespace().collect();
        let squeezed = squeezed.join(" ");
        for part in [
            "var queries_0: vec4f; var queries_1: vec4f; var queries_2: vec4f; var queries_3: vec4f;",
            "queries_0 = a.i + q[at + 0u];",
            "queries_5 = a.i + q[at + 2u];",
            // Its index is not always known.
            "var kept: array<f32, ROWS>;",
            "kept[1u] = 0.0;",
            "for (var key = 0u; key < params.tokens; key++) {",
            // Too long.
            "for (var i = 0u; i < LONG; i++) { queries[i] = vec4f(); }",
            "var<workgroup> queries: array<vec4f, 4>;",
        ] {
            assert!(squeezed.contains(part), "{part} is not in {squeezed}");
        }
        assert!(!text.contains("WIDTH;"), "{text}");
    }

    #[test]
    fn a_source_without_constant_loops_stays() {
        let source = "fn f() {\n    for (var k = 0u; k < n; k++) { a[k] += b; }\n}\n";
        assert_eq!(unroll(source, &[("ROWS", 2)]), source);
    }

    #[test]
    fn small_heads_keep_nothing_in_arrays() {
        let shader = crate::gpu::shaders::find("layers/attention").expect("a shader");
        let text = unroll(shader.source, &[("HEAD_DIM4", 2), ("ROWS", 8)]);
        let function = text.find("fn backward_key_value(").expect("a kernel");
        let function = &text[function..block_end(&text, function)];
        assert!(!function.contains("array<"), "{function}");
    }
}
