//! Lines, arrows and dots, as many as there are, in one mesh.

use egui::{Color32, Mesh, Painter, Pos2, Shape, Vec2, vec2};

/// Collects strokes and draws them all at once. Edges are softened over a pixel, as egui's own shapes are.
#[derive(Debug)]
pub struct Pen {
    mesh: Mesh,
    /// Width of the soft edge.
    soft: f32,
}

impl Pen {
    /// For a painter.
    pub fn new(painter: &Painter) -> Self {
        Self {
            mesh: Mesh::default(),
            soft: 1.0 / painter.pixels_per_point(),
        }
    }

    /// Triangles so far.
    #[cfg(test)]
    pub fn triangles(&self) -> usize {
        self.mesh.indices.len() / 3
    }

    /// A line through points; each has its colour.
    pub fn line(&mut self, points: &[Pos2], width: f32, colour: impl Fn(usize) -> Color32) {
        if points.len() < 2 {
            return;
        }
        let inner = 0.5 * (width - self.soft).max(0.0);
        let outer = inner + self.soft;
        for (i, &at) in points.iter().enumerate() {
            let before = points[i.saturating_sub(1)];
            let after = points[(i + 1).min(points.len() - 1)];
            let across = unit(after - before).rot90();
            let colour = colour(i);
            let first = self.mesh.vertices.len() as u32;
            for (side, colour) in [
                (-outer, Color32::TRANSPARENT),
                (-inner, colour),
                (inner, colour),
                (outer, Color32::TRANSPARENT),
            ] {
                self.mesh.colored_vertex(at + side * across, colour);
            }
            if i > 0 {
                for strip in 0..3 {
                    let (a, b) = (first - 4 + strip, first + strip);
                    self.mesh.add_triangle(a, a + 1, b);
                    self.mesh.add_triangle(a + 1, b + 1, b);
                }
            }
        }
    }

    /// An arrow whose tail is at `from`.
    pub fn arrow(&mut self, from: Pos2, along: Vec2, width: f32, colour: Color32) {
        let length = along.length();
        if length.is_nan() || length <= 0.5 {
            return;
        }
        let way = along / length;
        let head = (3.2 * width).min(0.6 * length);
        let neck = from + (length - head) * way;
        self.line(&[from, neck], width, |_| colour);
        self.triangle(from + along, way, head, 0.4 * head, colour);
    }

    /// A triangle that points along `way`.
    pub fn triangle(&mut self, tip: Pos2, way: Vec2, length: f32, half: f32, colour: Color32) {
        let base = tip - length * way;
        let across = half * way.rot90();
        let first = self.mesh.vertices.len() as u32;
        for at in [tip, base + across, base - across] {
            self.mesh.colored_vertex(at, colour);
        }
        self.mesh.add_triangle(first, first + 1, first + 2);
    }

    /// A disc.
    pub fn dot(&mut self, at: Pos2, radius: f32, colour: Color32) {
        const CORNERS: u32 = 12;
        let inner = (radius - 0.5 * self.soft).max(0.0);
        let outer = inner + self.soft;
        let centre = self.mesh.vertices.len() as u32;
        self.mesh.colored_vertex(at, colour);
        for corner in 0..CORNERS {
            let angle = corner as f32 / CORNERS as f32 * std::f32::consts::TAU;
            let way = vec2(angle.cos(), angle.sin());
            self.mesh.colored_vertex(at + inner * way, colour);
            self.mesh
                .colored_vertex(at + outer * way, Color32::TRANSPARENT);
        }
        for corner in 0..CORNERS {
            let this = centre + 1 + 2 * corner;
            let next = centre + 1 + 2 * ((corner + 1) % CORNERS);
            self.mesh.add_triangle(centre, this, next);
            self.mesh.add_triangle(this, this + 1, next);
            self.mesh.add_triangle(this + 1, next + 1, next);
        }
    }

    /// Draws everything.
    pub fn draw(self, painter: &Painter) {
        if !self.mesh.is_empty() {
            painter.add(Shape::mesh(self.mesh));
        }
    }
}

fn unit(v: Vec2) -> Vec2 {
    let length = v.length();
    if length > 1e-6 {
        v / length
    } else {
        vec2(1.0, 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_of_arrows_are_one_mesh() {
        let ctx = egui::Context::default();
        let layer = egui::LayerId::background();
        let painter = Painter::new(ctx, layer, egui::Rect::EVERYTHING);
        let mut pen = Pen::new(&painter);
        for i in 0..64 * 64 {
            let from = egui::pos2((i % 64) as f32, (i / 64) as f32);
            pen.arrow(from, vec2(8.0, 0.0), 1.0, Color32::WHITE);
        }
        // A shaft of three strips and a head.
        assert_eq!(pen.triangles(), 64 * 64 * 7);
        assert!(pen.mesh.is_valid());
        pen.arrow(Pos2::ZERO, vec2(f32::NAN, 0.0), 1.0, Color32::WHITE);
        assert_eq!(pen.triangles(), 64 * 64 * 7, "nothing comes of nothing");
        assert!(pen.mesh.vertices.iter().all(|v| v.pos.is_finite()));
    }
}
