//! The user's own points: a table of numbers as text.

use super::{MAX_COMPONENTS, Point, PointsError};

/// Reads points from the text of a table: one point a line, its first two columns, or those that a header calls x
/// and y. Columns are separated by commas, semicolons, tabs or spaces; where that is not a comma, a comma may stand
/// for the decimal point. A header, empty lines and lines that begin with # are passed over. Lines without two
/// finite numbers are left out, and more than [`MAX_COMPONENTS`] points are thinned evenly; the note says so.
///
/// # Errors
/// [`PointsError`]: no text, no line with two numbers, fewer than 2 different points.
pub fn parse(bytes: impl AsRef<[u8]>) -> Result<(Vec<Point>, Option<String>), PointsError> {
    let bytes = bytes.as_ref();
    if bytes.contains(&0) {
        return Err(PointsError::NotText);
    }
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text
        .trim_start_matches('\u{feff}')
        .split(['\n', '\r'])
        // A tab at the start is an empty column.
        .map(|l| l.trim_end().trim_start_matches(' '))
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
        .collect();
    let separator = separator(&lines);
    let mut columns = [0, 1];
    let (mut points, mut left_out) = (Vec::new(), 0);
    for (i, line) in lines.iter().enumerate() {
        let fields = fields(line, separator);
        let number = |k: usize| fields.get(k).and_then(|f| number(f, separator));
        match columns.map(number) {
            [Some(x), Some(y)] if x.is_finite() && y.is_finite() => points.push([x, y]),
            _ if i == 0 && fields.iter().any(|f| is_name(f)) => {
                let named = |name: &str| fields.iter().position(|f| f.eq_ignore_ascii_case(name));
                if let (Some(x), Some(y)) = (named("x"), named("y")) {
                    columns = [x, y];
                }
            }
            _ => left_out += 1,
        }
    }
    if points.is_empty() {
        return Err(PointsError::NoNumbers);
    }
    let (points, thinned) = usable(&points)?;
    let skipped = match left_out {
        0 => None,
        1 => Some("1 line without two numbers was left out.".to_owned()),
        n => Some(format!("{n} lines without two numbers were left out.")),
    };
    Ok((points, join(skipped, thinned)))
}

fn join(first: Option<String>, second: Option<String>) -> Option<String> {
    match (first, second) {
        (Some(a), Some(b)) => Some(format!("{a} {b}")),
        (a, b) => a.or(b),
    }
}

/// Points that a distribution can be made of: finite ones, at most [`MAX_COMPONENTS`], spread evenly over the list.
///
/// # Errors
/// Fewer than 2 different points.
pub(super) fn usable(points: &[Point]) -> Result<(Vec<Point>, Option<String>), PointsError> {
    let finite: Vec<Point> = points
        .iter()
        .copied()
        .filter(|p| p.iter().all(|v| v.is_finite()))
        .collect();
    let Some(first) = finite.first() else {
        return Err(PointsError::TooFew("none"));
    };
    if finite.iter().all(|p| p == first) {
        return Err(PointsError::TooFew(if finite.len() == 1 {
            "a single one"
        } else {
            "the same point again and again"
        }));
    }
    let skipped = match points.len() - finite.len() {
        0 => None,
        1 => Some("1 point that is not a number was left out.".to_owned()),
        n => Some(format!("{n} points that are not numbers were left out.")),
    };
    if finite.len() <= MAX_COMPONENTS {
        return Ok((finite, skipped));
    }
    let n = finite.len();
    let pick = |i: usize| finite[i * (n - 1) / (MAX_COMPONENTS - 1)];
    let mut thin: Vec<Point> = (0..MAX_COMPONENTS).map(pick).collect();
    // The few that are different may all fall between.
    if thin.iter().all(|p| *p == thin[0]) {
        let other = finite.iter().find(|p| **p != thin[0]);
        thin[MAX_COMPONENTS / 2] = other.copied().unwrap_or(thin[0]);
    }
    let note = format!("Of {n} points, {MAX_COMPONENTS} are used, spread evenly over the list.");
    Ok((thin, join(skipped, Some(note))))
}

/// The separator of the most lines among the first; a stronger one wins a tie.
fn separator(lines: &[&str]) -> Option<char> {
    let some = &lines[..lines.len().min(50)];
    let count = |c: char| some.iter().filter(|l| l.contains(c)).count();
    let mut best = (0, None);
    for c in [';', '\t', ','] {
        // A decimal comma is in as many lines as the semicolon beside it.
        if count(c) > best.0 {
            best = (count(c), Some(c));
        }
    }
    // "1,5 2,5": commas within numbers, spaces between them.
    let decimal = |l: &&&str| -> bool {
        let words: Vec<&str> = l.split_whitespace().collect();
        words.len() > 1
            && words
                .iter()
                .all(|w| w.matches(',').count() <= 1 && !w.ends_with(','))
    };
    if best.1 == Some(',') && 2 * some.iter().filter(decimal).count() > some.len() {
        return None;
    }
    best.1
}

fn fields(line: &str, separator: Option<char>) -> Vec<&str> {
    fn clean(field: &str) -> &str {
        field.trim().trim_matches('"').trim()
    }
    match separator {
        Some(c) => line.split(c).map(clean).collect(),
        None => line.split_whitespace().map(clean).collect(),
    }
}

fn number(field: &str, separator: Option<char>) -> Option<f32> {
    if separator == Some(',') {
        field.parse().ok()
    } else {
        field.replace(',', ".").parse().ok()
    }
}

/// The name of a column: text that is no number, not even "nan".
fn is_name(field: &str) -> bool {
    field.starts_with(|c: char| c.is_alphabetic() || c == '_') && field.parse::<f32>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(text: &str) -> (Vec<Point>, Option<String>) {
        parse(text).unwrap_or_else(|e| panic!("{text:?}: {e}"))
    }

    #[test]
    fn tables_of_every_kind_are_read() {
        let expected = vec![[1.5, 2.0], [-3.0, 0.25]];
        for text in [
            "1.5,2\n-3,0.25",
            "x,y\n1.5,2\n-3,0.25\n",
            "\u{feff}x;y\r\n1,5;2\r\n-3;0,25\r\n",
            "1.5\t2\tred\n-3\t0.25\tblue",
            "# two points\n\n 1.5   2 \n-3 0.25",
            "1,5 2\n-3,0 0,25",
            "\"label\",\"x\",\"y\"\n\"7\",\"1.5\",\"2\"\n8,-3,2.5e-1",
            ",x,y\n0,1.5,2\n1,-3,0.25",
            "\tx\ty\n0\t1.5\t2\n1\t-3\t0.25",
            "1.5, 2\n-3, 0.25",
        ] {
            assert_eq!(good(text), (expected.clone(), None), "{text:?}");
        }
    }

    #[test]
    fn lines_of_text_and_nan_are_left_out_and_counted() {
        let (points, note) = good("x,y\n1,2\nhello,world\nnan,3\n4,inf\n5\n6,7\n8,9e99\n");
        assert_eq!(points, [[1.0, 2.0], [6.0, 7.0]]);
        assert_eq!(note.unwrap(), "5 lines without two numbers were left out.");
        let (_, note) = good("1,2\nNaN,NaN\n3,4");
        assert_eq!(note.unwrap(), "1 line without two numbers was left out.");
    }

    #[test]
    fn a_file_without_a_distribution_is_refused_in_one_sentence() {
        for (bytes, expected) in [
            (&b""[..], PointsError::NoNumbers),
            (b"a,b\nc,d\n", PointsError::NoNumbers),
            (
                b"The quick brown fox.\nAnd so on, and on.",
                PointsError::NoNumbers,
            ),
            (b"1\n2\n3\n", PointsError::NoNumbers),
            (b"nan,nan\n", PointsError::NoNumbers),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", PointsError::NotText),
            (b"1,2\n", PointsError::TooFew("a single one")),
            (
                b"x,y\n1,2\n1,2\n1.0,2.0\n",
                PointsError::TooFew("the same point again and again"),
            ),
        ] {
            let error = parse(bytes).unwrap_err();
            assert_eq!(error, expected);
            assert!(error.to_string().ends_with('.'));
        }
    }

    #[test]
    fn a_million_points_are_thinned_evenly() {
        let text: String = (0..1_000_000)
            .map(|i| format!("{i},{}\n", 1_000_000 - i))
            .collect();
        let (points, note) = good(&text);
        assert_eq!(points.len(), MAX_COMPONENTS);
        assert_eq!(
            note.unwrap(),
            "Of 1000000 points, 4096 are used, spread evenly over the list."
        );
        assert_eq!(
            (points[0][0], points[MAX_COMPONENTS - 1][0]),
            (0.0, 999_999.0)
        );
        for w in points.windows(2) {
            let gap = w[1][0] - w[0][0];
            assert!((243.0..=245.0).contains(&gap), "{gap}");
        }
        // One that differs is not lost among a million equal ones.
        let mut same = vec![[1.0, 1.0]; 1_000_000];
        same[777_777] = [2.0, 2.0];
        let (thin, _) = usable(&same).unwrap();
        assert_eq!(thin.iter().filter(|p| **p == [2.0, 2.0]).count(), 1);
    }
}
