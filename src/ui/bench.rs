//! A measurement of the device, which an address such as `bench=mnist32&seconds=20` asks for.

use egui::{Align2, Context, Id, RichText, Ui, Window};
use noiselab::{
    bench::BenchReport,
    session::{
        command::BenchRequest,
        event::{BenchEvent, Event, Job},
    },
};
use serde_json::{Value, json};

use super::{
    strings::{app::CLOSE, bench as words},
    theme, widgets,
};

/// What is known of it.
#[derive(Debug, Default)]
pub struct Bench {
    title: String,
    status: Option<String>,
    report: Option<Box<BenchReport>>,
    failed: bool,
    /// It is closed.
    gone: bool,
}

/// Seconds for training and again for sampling, unless said otherwise.
const SECONDS: f64 = 10.0;

/// What an address asks to be measured: `bench` is the network; `batch` and `seconds` are optional.
pub fn asked(pairs: &[(String, String)]) -> Option<BenchRequest> {
    let find = |key: &str| pairs.iter().find(|p| p.0 == key).map(|p| p.1.as_str());
    Some(BenchRequest {
        model: find("bench")?.to_owned(),
        batch: find("batch").and_then(|b| b.parse().ok()),
        seconds: (find("seconds").and_then(|s| s.parse().ok())).unwrap_or(SECONDS),
    })
}

impl Bench {
    /// Takes note.
    pub fn on_event(&mut self, event: &Event) {
        match event {
            Event::Bench(BenchEvent::Progress {
                model,
                batch,
                status,
            }) => {
                if self.status.is_none() {
                    *self = Self::default();
                }
                self.title = words::title(model, *batch);
                self.status = Some(status.clone());
            }
            Event::Bench(BenchEvent::Done(report)) => {
                self.status = None;
                self.report = Some(report.clone());
            }
            // The reason is among the messages.
            Event::Failed {
                job: Job::Bench, ..
            } => {
                *self = Self {
                    failed: true,
                    ..Self::default()
                };
            }
            _ => {}
        }
    }

    /// For tests in a browser.
    pub fn value(&self) -> Value {
        json!({"status": self.status, "report": self.report, "failed": self.failed})
    }

    /// Draws it above the room, if there is one.
    pub fn draw(&mut self, ctx: &Context) {
        if self.gone || (self.status.is_none() && self.report.is_none()) {
            return;
        }
        Window::new(self.title.as_str())
            .id(Id::unique("bench"))
            .collapsible(false)
            .resizable(false)
            .anchor(Align2::CENTER_CENTER, [0.0, 0.0])
            .show(ctx, |ui| {
                ui.set_width(360.0_f32.min(ctx.content_rect().width() - 64.0));
                if let Some(report) = &self.report {
                    figures(ui, report);
                    ui.add_space(theme::GAP);
                    self.gone = widgets::button(ui, CLOSE, words::CLOSE_HELP).clicked();
                } else if let Some(status) = &self.status {
                    ui.label(words::status(status));
                    widgets::hint(ui, words::WAITS);
                }
            });
    }
}

fn figures(ui: &mut Ui, report: &BenchReport) {
    egui::Grid::new("bench figures")
        .num_columns(2)
        .spacing([24.0, 8.0])
        .show(ui, |ui| {
            for (name, value) in words::figures(report) {
                ui.label(RichText::new(name).color(theme::weak(ui)));
                ui.label(RichText::new(value).color(theme::strong(ui)));
                ui.end_row();
            }
        });
    widgets::hint(ui, &report.variants);
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use crate::ui::address;

    #[test]
    fn an_address_asks_for_a_measurement() {
        let of = |text: &str| asked(&address::read(text));
        assert_eq!(of("#room=lab&seconds=5"), None);
        let plain = BenchRequest {
            model: "mnist32".into(),
            batch: None,
            seconds: SECONDS,
        };
        assert_eq!(of("#bench=mnist32"), Some(plain.clone()));
        let full = BenchRequest {
            batch: Some(8),
            seconds: 2.5,
            ..plain
        };
        assert_eq!(of("#bench=mnist32&batch=8&seconds=2.5"), Some(full));
    }

    #[test]
    fn it_is_shown_while_it_lasts_and_when_it_failed_no_more() {
        let mut bench = Bench::default();
        assert!(bench.value()["status"].is_null());
        bench.on_event(&Event::Bench(BenchEvent::Progress {
            model: "tiny",
            batch: 4,
            status: "training: step 3".into(),
        }));
        assert_eq!(bench.value()["status"], "training: step 3");
        assert!(bench.title.contains("tiny") && bench.title.contains('4'));
        bench.on_event(&Event::Failed {
            job: Job::Bench,
            message: "no memory".into(),
        });
        assert!(bench.value()["status"].is_null());
        assert_eq!(bench.value()["failed"], true);
    }
}
