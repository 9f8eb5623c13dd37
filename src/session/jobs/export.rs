//! Files made of the reverse process: a picture, a filmstrip, an animation.

use std::{io::Cursor, time::Duration};

use image::{
    Delay, Frame, ImageFormat, RgbaImage,
    codecs::gif::{GifEncoder, Repeat},
    imageops::{self, FilterType},
};

use crate::{
    Result,
    gpu::{
        Gpu,
        film::{Film, FilmPixels, FilmRead},
    },
    session::command::{ExportKind, ExportRequest},
};

/// Frames of a filmstrip.
const STRIP: usize = 12;
/// A frame of an animation, and its last.
const SHOWN: [Duration; 2] = [Duration::from_millis(60), Duration::from_millis(1500)];

/// A file's name and content, or why there is none.
pub type Made = Result<(String, Vec<u8>), String>;

/// The job.
#[derive(Debug)]
pub struct ExportJob {
    request: ExportRequest,
    film: Film,
    /// Frames that are there.
    frames: usize,
    read: FilmRead,
}

impl ExportJob {
    /// Starts to read the film.
    ///
    /// # Errors
    /// The device's refusal.
    pub fn start(gpu: &Gpu, request: ExportRequest, film: &Film, frames: usize) -> Result<Self> {
        Ok(Self {
            request,
            film: film.clone(),
            frames: frames.clamp(1, film.layers()),
            read: FilmRead::start(gpu, film)?,
        })
    }

    /// The file once the film has arrived; `None` before.
    ///
    /// # Errors
    /// A lost device. A picture that cannot be encoded is the inner error, one sentence.
    pub fn poll(&mut self, gpu: &Gpu) -> Result<Option<Made>> {
        let Some(pixels) = self.read.poll(gpu)? else {
            return Ok(None);
        };
        let (stem, ending) = match self.request.kind {
            ExportKind::Picture => ("samples", "png"),
            ExportKind::Filmstrip => ("filmstrip", "png"),
            ExportKind::Animation => ("reverse-process", "gif"),
        };
        let name = match self.request.sample {
            Some(n) => format!("{stem}-{}.{ending}", n + 1),
            None => format!("{stem}.{ending}"),
        };
        Ok(Some(self.encode(&pixels).map(|bytes| (name, bytes))))
    }

    fn encode(&self, pixels: &FilmPixels) -> Result<Vec<u8>, String> {
        let last = self.frames - 1;
        match self.request.kind {
            ExportKind::Picture => png(&self.frame(pixels, last)?),
            ExportKind::Filmstrip => {
                let count = STRIP.min(self.frames);
                let frames: Vec<RgbaImage> = (0..count)
                    .map(|i| self.frame(pixels, i * last / (count - 1).max(1)))
                    .collect::<Result<_, _>>()?;
                let gap = 4;
                let (w, h) = frames[0].dimensions();
                let grey = image::Rgba([64, 64, 64, 255]);
                let width = count as u32 * (w + gap) - gap;
                let mut strip = RgbaImage::from_pixel(width, h, grey);
                for (i, frame) in frames.iter().enumerate() {
                    let x = i as u32 * (w + gap);
                    imageops::replace(&mut strip, frame, i64::from(x), 0);
                }
                png(&strip)
            }
            ExportKind::Animation => {
                let mut bytes = Vec::new();
                let mut encoder = GifEncoder::new_with_speed(&mut bytes, 10);
                encoder
                    .set_repeat(Repeat::Infinite)
                    .map_err(|e| e.to_string())?;
                for i in 0..self.frames {
                    let shown = Delay::from_saturating_duration(SHOWN[usize::from(i == last)]);
                    let frame = Frame::from_parts(self.frame(pixels, i)?, 0, 0, shown);
                    encoder.encode_frame(frame).map_err(|e| e.to_string())?;
                }
                drop(encoder);
                Ok(bytes)
            }
        }
    }

    /// A frame, or one sample's tile of it, enlarged.
    fn frame(&self, pixels: &FilmPixels, layer: usize) -> Result<RgbaImage, String> {
        let (w, h) = (pixels.width as u32, pixels.height as u32);
        let bytes = pixels.layers.get(layer).cloned().unwrap_or_default();
        let mut frame = RgbaImage::from_raw(w, h, bytes)
            .ok_or_else(|| "the film's frame has the wrong size".to_owned())?;
        // Cells without a sample have never been painted.
        for pixel in frame.pixels_mut() {
            pixel.0[3] = 255;
        }
        if let Some(n) = self.request.sample {
            let (tw, th) = self.film.tile_size();
            let columns = self.film.grid().0;
            let n = n.min(self.film.tiles().saturating_sub(1));
            let (x, y) = (n % columns * tw, n / columns * th);
            let (tw, th) = (tw as u32, th as u32);
            frame = imageops::crop_imm(&frame, x as u32, y as u32, tw, th).to_image();
        }
        let (w, h) = frame.dimensions();
        let scale = (self.request.scale.clamp(1, 32) as u32).min(65_535 / w.max(h).max(1));
        if scale > 1 {
            frame = imageops::resize(&frame, w * scale, h * scale, FilterType::Nearest);
        }
        Ok(frame)
    }
}

fn png(picture: &RgbaImage) -> Result<Vec<u8>, String> {
    let mut bytes = Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, ImageFormat::Png)
        .map_err(|e| e.to_string())?;
    Ok(bytes.into_inner())
}
