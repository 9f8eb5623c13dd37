//! The user's own points: a table of numbers as text.

use super::{MAX_COMPONENTS, Point, PointsError, spread_of};

/// Reads points from the text of a table: one point a line, its first two columns, or those that a header calls x
/// and y. Columns are separated by commas, semicolons, tabs or spaces; where that is not a comma, a comma may stand
/// for the decimal point. A header, empty lines and lines that begin with # are passed over. Lines without two
/// finite numbers and a few points that are very far from the others are left out, and more than [`MAX_COMPONENTS`]
/// points are thinned evenly; the note says so. The points come back centred and at unit scale (the mean of the two
/// coordinates' variances is 1), which is computed in f64: they may lie close together and far from zero.
///
/// # Errors
/// [`PointsError`]: no text, no line with two numbers, fewer than 2 different points.
pub fn parse(bytes: impl AsRef<[u8]>) -> Result<(Vec<Point>, Option<String>), PointsError> {
    let (points, left_out) = read(bytes.as_ref())?;
    let (points, far) = without_far(points);
    let (points, thinned) = usable(&points)?;
    let (points, uneven) = at_unit_scale(&points);
    let skipped = match left_out {
        0 => None,
        1 => Some("1 line without two numbers was left out.".to_owned()),
        n => Some(format!("{n} lines without two numbers were left out.")),
    };
    Ok((points, join(join(skipped, far), join(thinned, uneven))))
}

/// Larger numbers are none: their squares would overflow.
const LARGEST: f64 = 1e100;

/// The table's points as they are, and the number of lines without one.
fn read(bytes: &[u8]) -> Result<(Vec<[f64; 2]>, usize), PointsError> {
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
            [Some(x), Some(y)] if x.abs() <= LARGEST && y.abs() <= LARGEST => points.push([x, y]),
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
    Ok((points, left_out))
}

/// So many times the middle distance from the centre is very far.
const FAR: f64 = 100.0;
/// Very far points are left out if they are at most one in so many, or a single one.
const FEW: usize = 20;
/// Where the middle distance from the centre is less than this at unit scale, most points fall into one.
const CLOSE: f64 = 0.05;

fn median(mut values: Vec<f64>) -> f64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// The larger distance of each point in x or y from the medians of both; not empty.
fn distances(points: &[[f64; 2]]) -> Vec<f64> {
    let centre = [0, 1].map(|c| median(points.iter().map(|p| p[c]).collect()));
    let far = |p: &[f64; 2]| (p[0] - centre[0]).abs().max((p[1] - centre[1]).abs());
    points.iter().map(far).collect()
}

/// Without a few points that are so far from the others that these would become a single one at unit scale.
fn without_far(points: Vec<[f64; 2]>) -> (Vec<[f64; 2]>, Option<String>) {
    if points.len() < 3 {
        return (points, None);
    }
    let distances = distances(&points);
    let reach = FAR * median(distances.clone());
    let far = distances.iter().filter(|&&d| d > reach).count();
    if reach == 0.0 || far == 0 || far > (points.len() / FEW).max(1) {
        return (points, None);
    }
    let near = (points.into_iter().zip(distances))
        .filter(|(_, d)| *d <= reach)
        .map(|(p, _)| p)
        .collect();
    let note = match far {
        1 => "1 point very far from all others was left out.".to_owned(),
        n => format!("{n} points very far from all others were left out."),
    };
    (near, Some(note))
}

/// Centred and at unit scale; says so where most of the points fall into one by that.
fn at_unit_scale(points: &[[f64; 2]]) -> (Vec<Point>, Option<String>) {
    let n = points.len() as f64;
    let mean = [0, 1].map(|c| points.iter().map(|p| p[c] / n).sum::<f64>());
    let scale = spread_of(points).sqrt();
    let scaled = points
        .iter()
        .map(|p| [0, 1].map(|c| ((p[c] - mean[c]) / scale) as f32))
        .collect();
    let uneven = median(distances(points)) < CLOSE * scale;
    let note = uneven.then(|| {
        "The points that are far from the others set the scale: most lie so close together that they look like one."
            .to_owned()
    });
    (scaled, note)
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
pub(super) fn usable(points: &[[f64; 2]]) -> Result<(Vec<[f64; 2]>, Option<String>), PointsError> {
    let finite: Vec<[f64; 2]> = points
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
    let mut thin: Vec<[f64; 2]> = (0..MAX_COMPONENTS).map(pick).collect();
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

fn number(field: &str, separator: Option<char>) -> Option<f64> {
    if separator == Some(',') {
        field.parse().ok()
    } else {
        field.replace(',', ".").parse().ok()
    }
}

/// The name of a column: text that is no number, not even "nan".
fn is_name(field: &str) -> bool {
    field.starts_with(|c: char| c.is_alphabetic() || c == '_') && field.parse::<f64>().is_err()
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
            let read = read(text.as_bytes()).unwrap_or_else(|e| panic!("{text:?}: {e}"));
            assert_eq!(read, (expected.clone(), 0), "{text:?}");
        }
    }

    #[test]
    fn lines_of_text_and_nan_are_left_out_and_counted() {
        let text = "x,y\n1,2\nhello,world\nnan,3\n4,inf\n5\n6,7\n8,9e300\n";
        let (points, note) = good(text);
        assert_eq!(read(text.as_bytes()).unwrap().0, [[1.0, 2.0], [6.0, 7.0]]);
        assert_eq!(points, [[-1.0, -1.0], [1.0, 1.0]]);
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
        // Evenly spread numbers have a standard deviation of their range / √12.
        let scale = 1e6 / 12.0_f32.sqrt();
        approx::assert_abs_diff_eq!(points[0][0] * scale, -0.5e6, epsilon = 500.0);
        for w in points.windows(2) {
            let gap = (w[1][0] - w[0][0]) * scale;
            assert!((242.0..=246.0).contains(&gap), "{gap}");
        }
        // One that differs is not lost among a million equal ones.
        let mut same = vec![[1.0, 1.0_f64]; 1_000_000];
        same[777_777] = [2.0, 2.0];
        let (thin, _) = usable(&same).unwrap();
        assert_eq!(thin.iter().filter(|p| **p == [2.0, 2.0]).count(), 1);
    }

    #[test]
    fn points_close_together_and_far_from_zero_are_told_apart() {
        let text: String = (0..10)
            .map(|i| format!("{},{}\n", 1e6 + 1e-3 * f64::from(i), -1e6))
            .collect();
        let (points, note) = good(&text);
        assert_eq!(note, None);
        let variance = points.iter().map(|p| p[0] * p[0]).sum::<f32>() / 10.0;
        approx::assert_relative_eq!(variance, 2.0, max_relative = 1e-3);
        for w in points.windows(2) {
            approx::assert_relative_eq!(w[1][0] - w[0][0], 0.492_366, max_relative = 1e-3);
        }
    }

    #[test]
    fn a_few_points_very_far_away_are_left_out_and_many_are_spoken_of() {
        let near: String = (0..100)
            .map(|i| format!("{},{}\n", i % 10, i / 10))
            .collect();
        let alone = good(&near);
        assert_eq!(alone.1, None);
        let (points, note) = good(&format!("{near}1e30,0\n0,-1e30\n"));
        assert_eq!(points, alone.0);
        assert_eq!(
            note.unwrap(),
            "2 points very far from all others were left out."
        );
        // Not a mistake any more: one in ten.
        let many: String = (0..12).map(|i| format!("1e30,{i}\n")).collect();
        let (points, note) = good(&format!("{near}{many}"));
        assert_eq!(points.len(), 112);
        assert!(note.unwrap().contains("set the scale"));
        // Far, but not that far.
        let (points, note) = good(&format!("{near}60,0\n"));
        assert_eq!((points.len(), note), (101, None));
        // Two points are as far from each other as they are.
        assert_eq!(good("0,0\n1e30,0\n").0.len(), 2);
    }
}
