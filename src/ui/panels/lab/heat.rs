//! Heat maps: numbers as textures, coloured so that equal differences look equal.

use std::sync::Arc;

use egui::{Color32, ColorImage, TextureHandle, TextureId, TextureOptions, Ui};

/// Which colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hue {
    /// For densities: from the ground to blue and on to light, or to dark on a light ground.
    Density,
    /// For errors: from the ground to the accent.
    Error,
}

/// sRGB, from nothing to the most.
type Stops = [[u8; 3]; 4];

const fn stops(hue: Hue, dark: bool) -> Stops {
    match (hue, dark) {
        (Hue::Density, true) => [
            [0x10, 0x12, 0x14],
            [0x24, 0x3b, 0x57],
            [0x4f, 0x7c, 0xac],
            [0xc3, 0xdb, 0xf2],
        ],
        (Hue::Density, false) => [
            [0xec, 0xed, 0xef],
            [0xb9, 0xcd, 0xe2],
            [0x6a, 0x90, 0xba],
            [0x1f, 0x3d, 0x60],
        ],
        (Hue::Error, true) => [
            [0x10, 0x12, 0x14],
            [0x55, 0x2c, 0x12],
            [0xc0, 0x62, 0x22],
            [0xff, 0xc8, 0xa0],
        ],
        (Hue::Error, false) => [
            [0xec, 0xed, 0xef],
            [0xf0, 0xc2, 0x9e],
            [0xd9, 0x79, 0x2f],
            [0x7a, 0x31, 0x02],
        ],
    }
}

/// The colour of a share of the most, 0 … 1: straight lines between the stops in Oklab (Ottosson 2020), where
/// distances are what the eye makes of them.
pub fn colour(hue: Hue, dark: bool, share: f32) -> Color32 {
    let stops = stops(hue, dark);
    let place = share.clamp(0.0, 1.0) * (stops.len() - 1) as f32;
    let first = (place as usize).min(stops.len() - 2);
    let part = place - first as f32;
    let (a, b) = (to_oklab(stops[first]), to_oklab(stops[first + 1]));
    let mixed = std::array::from_fn(|i| a[i] + part * (b[i] - a[i]));
    let [r, g, b] = from_oklab(mixed);
    Color32::from_rgb(r, g, b)
}

fn to_oklab(rgb: [u8; 3]) -> [f32; 3] {
    let [r, g, b] = rgb.map(|v| {
        let v = f32::from(v) / 255.0;
        if v <= 0.04045 {
            v / 12.92
        } else {
            ((v + 0.055) / 1.055).powf(2.4)
        }
    });
    let l = (0.412_221_46 * r + 0.536_332_55 * g + 0.051_445_995 * b).cbrt();
    let m = (0.211_903_5 * r + 0.680_699_5 * g + 0.107_396_96 * b).cbrt();
    let s = (0.088_302_46 * r + 0.281_718_85 * g + 0.629_978_7 * b).cbrt();
    [
        0.210_454_26 * l + 0.793_617_8 * m - 0.004_072_047 * s,
        1.977_998_5 * l - 2.428_592_2 * m + 0.450_593_7 * s,
        0.025_904_037 * l + 0.782_771_77 * m - 0.808_675_77 * s,
    ]
}

fn from_oklab([light, a, b]: [f32; 3]) -> [u8; 3] {
    let l = (light + 0.396_337_78 * a + 0.215_803_76 * b).powi(3);
    let m = (light - 0.105_561_346 * a - 0.063_854_17 * b).powi(3);
    let s = (light - 0.089_484_18 * a - 1.291_485_5 * b).powi(3);
    let linear = [
        4.076_741_7 * l - 3.307_711_6 * m + 0.230_969_94 * s,
        -1.268_438 * l + 2.609_757_4 * m - 0.341_319_38 * s,
        -0.004_196_086_3 * l - 0.703_418_6 * m + 1.707_614_7 * s,
    ];
    linear.map(|v| {
        let v = v.clamp(0.0, 1.0);
        let v = if v <= 0.003_130_8 {
            12.92 * v
        } else {
            1.055 * v.powf(1.0 / 2.4) - 0.055
        };
        (255.0 * v).round() as u8
    })
}

/// Numbers row by row, the first row at the top.
#[derive(Debug, Clone)]
pub struct Field {
    /// Columns and rows.
    pub size: [usize; 2],
    /// The numbers.
    pub values: Arc<[f32]>,
}

impl Field {
    /// The largest number, at least a tiny one.
    pub fn most(&self) -> f32 {
        self.values
            .iter()
            .copied()
            .filter(|v| v.is_finite())
            .fold(1e-12, f32::max)
    }
}

struct Slot {
    name: String,
    values: Arc<[f32]>,
    look: (Hue, bool, f32),
    texture: TextureHandle,
}

/// Textures of heat maps, made again when their numbers or colours change.
#[derive(Default)]
pub struct Heats {
    slots: Vec<Slot>,
}

impl Heats {
    /// The texture of `field` in the place `name`; a value v has the colour of √(v/`most`), so that thin parts of a
    /// density can be seen beside thick ones.
    pub fn texture(
        &mut self,
        ui: &Ui,
        name: &str,
        field: &Field,
        hue: Hue,
        most: f32,
    ) -> Option<TextureId> {
        let [width, height] = field.size;
        if width == 0 || height == 0 || field.values.len() != width * height {
            return None;
        }
        let look = (hue, ui.visuals().dark_mode, most);
        let place = self.slots.iter().position(|s| s.name == name);
        if let Some(i) = place {
            let slot = &self.slots[i];
            if Arc::ptr_eq(&slot.values, &field.values) && slot.look == look {
                return Some(slot.texture.id());
            }
        }
        let table: Vec<Color32> = (0..=255)
            .map(|i| colour(hue, look.1, i as f32 / 255.0))
            .collect();
        let pixels = field
            .values
            .iter()
            .map(|v| table[(255.0 * (v / most).clamp(0.0, 1.0).sqrt()) as usize])
            .collect();
        let image = ColorImage::new(field.size, pixels);
        let values = Arc::clone(&field.values);
        match place {
            Some(i) => {
                let slot = &mut self.slots[i];
                slot.texture.set(image, TextureOptions::LINEAR);
                (slot.values, slot.look) = (values, look);
                Some(slot.texture.id())
            }
            None => {
                let texture = ui.ctx().load_texture(name, image, TextureOptions::LINEAR);
                let id = texture.id();
                self.slots.push(Slot {
                    name: name.to_owned(),
                    values,
                    look,
                    texture,
                });
                Some(id)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lightness_rises_or_falls_steadily() {
        for hue in [Hue::Density, Hue::Error] {
            for dark in [true, false] {
                let light: Vec<f32> = (0..=32)
                    .map(|i| {
                        let c = colour(hue, dark, i as f32 / 32.0);
                        to_oklab([c.r(), c.g(), c.b()])[0]
                    })
                    .collect();
                let way = if dark { 1.0 } else { -1.0 };
                for pair in light.windows(2) {
                    let step = way * (pair[1] - pair[0]);
                    assert!((0.005..0.06).contains(&step), "{hue:?} {dark}: {light:?}");
                }
            }
        }
    }

    #[test]
    fn colours_survive_the_way_there_and_back() {
        for rgb in [[0, 0, 0], [255, 255, 255], [255, 138, 61], [12, 200, 99]] {
            assert_eq!(from_oklab(to_oklab(rgb)), rgb);
        }
    }
}
