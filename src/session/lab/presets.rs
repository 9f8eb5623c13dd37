//! Presets: the one that works, and what goes wrong.

use super::{command::LabStage, command::LabTrainSpec, stage::unclamped};
use crate::{
    data::points::Distribution,
    diffusion::{Objective, SchedulerConfig},
    nn::mlp::MlpConfig,
    session::command::StopAt,
};

/// A preset.
#[derive(Debug)]
pub struct Preset {
    /// The name, as on the command line and in addresses.
    pub name: &'static str,
    /// What to call it.
    pub title: &'static str,
    /// One sentence for people: what is changed, and what comes of it.
    pub summary: &'static str,
    /// The schedule, T and the objective.
    pub scheduler: fn() -> SchedulerConfig,
    /// Network and training.
    pub train: fn() -> LabTrainSpec,
    /// The sampler by which it is shown, of [`crate::diffusion::sampler::SAMPLERS`].
    pub sampler: &'static str,
    /// Its steps.
    pub steps: usize,
}

impl Preset {
    /// The stage with a distribution.
    pub fn stage(&self, distribution: Distribution, particles: usize, seed: u64) -> LabStage {
        LabStage {
            distribution,
            scheduler: (self.scheduler)(),
            particles,
            seed,
        }
    }
}

/// Every preset; the first is the one that works.
pub static PRESETS: &[Preset] = &[
    Preset {
        name: "standard",
        title: "Standard",
        summary: "T = 1000 with the cosine schedule, v as what the network predicts, and a network that is large enough.",
        scheduler,
        train,
        sampler: "ddim",
        steps: 50,
    },
    Preset {
        name: "t_too_small",
        title: "T too small",
        summary: "With T = 4 of the same small \u{3b2} hardly any noise is added: sampling starts from N(0, I), far from anything that the network has seen, and the steps are too small to bring all samples home.",
        scheduler: || SchedulerConfig {
            num_train_timesteps: 4,
            ..linear()
        },
        train,
        sampler: "ddpm",
        steps: 4,
    },
    Preset {
        name: "schedule_too_fast",
        title: "Schedule too fast",
        summary: "With \u{3b2} from 0.2 to 0.95 in 6 steps each reverse step is far from Gaussian: even with the exact denoiser the samples miss the modes.",
        scheduler: || SchedulerConfig {
            num_train_timesteps: 6,
            beta_start: 0.2,
            beta_end: 0.95,
            ..linear()
        },
        train,
        sampler: "ddpm",
        steps: 6,
    },
    Preset {
        name: "network_too_small",
        title: "Network too small",
        summary: "A network of width 4 bends too little to tell the modes apart: its field is smooth where the exact one has edges.",
        scheduler,
        train: || LabTrainSpec {
            network: MlpConfig {
                width: 4,
                blocks: 1,
                ..train().network
            },
            ..train()
        },
        sampler: "ddim",
        steps: 50,
    },
    Preset {
        name: "too_few_steps",
        title: "Too few sampling steps",
        summary: "The network is the standard one, but four steps of the ancestral sampler are too large: the last jumps from much noise to the mean of all points that it could have come from, which lies between the modes.",
        scheduler,
        train,
        sampler: "ddpm",
        steps: 4,
    },
    Preset {
        name: "no_time_embedding",
        title: "No time embedding",
        summary: "The network is not told t, so it learns one field for all noise levels: the mean of them, which is right at none.",
        scheduler,
        train: || LabTrainSpec {
            network: MlpConfig {
                time_embedding: false,
                ..train().network
            },
            ..train()
        },
        sampler: "ddim",
        steps: 50,
    },
];

/// The preset of that name.
pub fn preset(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|p| p.name == name)
}

/// Cosine schedule (Nichol, Dhariwal 2021) and v prediction (Salimans, Ho 2022, section 4). With the paper's linear
/// schedule and ε few of a mini-batch's points have a t at which the shape is decided, and the error of x̂_0 is that of
/// ε̂ times √((1 − ᾱ)/ᾱ): after the same steps the samples lie about twice as far from the data.
fn scheduler() -> SchedulerConfig {
    SchedulerConfig {
        beta_schedule: "squaredcos_cap_v2".to_owned(),
        ..linear()
    }
}

/// The paper's schedule: with few steps of the same β, or large ones, something goes wrong.
fn linear() -> SchedulerConfig {
    SchedulerConfig {
        prediction_type: Objective::VPrediction,
        ..unclamped(&SchedulerConfig::default())
    }
}

fn train() -> LabTrainSpec {
    LabTrainSpec {
        network: MlpConfig::default(),
        batch: 512,
        lr: 6e-3,
        ema_decay: 0.998,
        seed: 0,
        stop: StopAt {
            seconds: Some(20.0),
            ..StopAt::default()
        },
        merit_every: 500,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_builds() {
        for preset in PRESETS {
            let scheduler = (preset.scheduler)();
            let schedule = scheduler.noise_schedule().expect(preset.name);
            assert!(!scheduler.clip_sample, "{}", preset.name);
            assert!(preset.steps <= schedule.timesteps(), "{}", preset.name);
            let network = (preset.train)().network;
            crate::nn::mlp::build(&network, 4, schedule.timesteps(), true).expect(preset.name);
            assert!(preset.summary.ends_with('.'), "{}", preset.name);
        }
        assert!(preset("standard").is_some() && preset("nothing").is_none());
    }

    #[test]
    fn t_too_small_leaves_the_data_in_x_t() {
        let bar = |name: &str| {
            let scheduler = (preset(name).expect(name).scheduler)();
            let schedule = scheduler.noise_schedule().expect(name);
            schedule.alpha_bar(schedule.timesteps() - 1)
        };
        assert!(bar("standard") < 1e-3);
        assert!(bar("t_too_small") > 0.3);
    }
}
