//! Distributions in the plane, for the 2-D lab.

use std::sync::Arc;

/// A point of the plane; y points up.
pub type Point = [f32; 2];

/// Where the lab's points come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Distribution {
    /// One of [`DISTRIBUTIONS`], by its name, at unit scale: mean 0, and the mean of the two coordinates' variances
    /// is 1.
    BuiltIn(String),
    /// A letter or a word, its strokes filled evenly, at unit scale.
    Text(String),
    /// Lines drawn by hand, each a polyline; points lie on them evenly by length. Kept where they were drawn.
    Drawn(Arc<[Vec<Point>]>),
    /// The user's own points (of a CSV file), brought to unit scale.
    Own {
        /// What to call them.
        name: String,
        /// The points, as they came.
        points: Arc<[Point]>,
    },
}

/// A line of the registry.
#[derive(Debug)]
pub struct DistributionEntry {
    /// The name, as on the command line and in addresses.
    pub name: &'static str,
    /// What to call it.
    pub title: &'static str,
    /// One sentence for people.
    pub summary: &'static str,
}

/// Every built-in distribution. A new one is a file and a line here.
pub static DISTRIBUTIONS: &[DistributionEntry] = &[
    DistributionEntry {
        name: "eight_gaussians",
        title: "Eight Gaussians",
        summary: "Eight equal Gaussians on a circle: the classic test of mode coverage.",
    },
    DistributionEntry {
        name: "two_gaussians",
        title: "Two Gaussians",
        summary: "A large and a small Gaussian, 70 % and 30 %: are the weights learned too?",
    },
    DistributionEntry {
        name: "grid_gaussians",
        title: "Grid of Gaussians",
        summary: "Twenty-five narrow Gaussians on a grid.",
    },
    DistributionEntry {
        name: "two_moons",
        title: "Two moons",
        summary: "Two half circles that reach into each other.",
    },
    DistributionEntry {
        name: "swiss_roll",
        title: "Swiss roll",
        summary: "A spiral seen from its side: a curve, not an area.",
    },
    DistributionEntry {
        name: "spirals",
        title: "Two spirals",
        summary: "Two arms that wind around each other.",
    },
    DistributionEntry {
        name: "checkerboard",
        title: "Checkerboard",
        summary: "Squares with sharp edges, which noise rounds first.",
    },
    DistributionEntry {
        name: "rings",
        title: "Rings",
        summary: "Two rings around one centre.",
    },
];
