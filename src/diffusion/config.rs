//! `scheduler_config.json`, as diffusers' `DDPMScheduler` and `DDIMScheduler` write and read it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{DiffusionError, NoiseSchedule, Objective, schedule};

/// The version of diffusers that the written files name, and whose arithmetic is followed.
pub const DIFFUSERS_VERSION: &str = "0.42.1";

/// The most timesteps that a configuration may have.
pub const MAX_TIMESTEPS: usize = 1_000_000;

/// The variance of the reverse step when it is not learned (section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum VarianceType {
    /// σ_t² = β̃_t, the posterior variance: right when x_0 is one point.
    #[default]
    FixedSmall,
    /// σ_t² = β_t: right when x_0 is N(0, I).
    FixedLarge,
}

impl VarianceType {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::FixedSmall, Self::FixedLarge];

    /// The name in diffusers' `variance_type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::FixedSmall => "fixed_small",
            Self::FixedLarge => "fixed_large",
        }
    }

    /// The variance type of that name.
    ///
    /// # Errors
    /// [`DiffusionError::Unsupported`] for anything but the two.
    pub fn by_name(name: &str) -> Result<Self, DiffusionError> {
        Self::ALL
            .into_iter()
            .find(|v| v.name() == name)
            .ok_or_else(|| DiffusionError::Unsupported {
                key: "variance_type",
                value: format!("\"{name}\""),
                expected: "fixed_small or fixed_large".into(),
            })
    }
}

/// How fewer sampling steps than T are spread (arXiv:2305.08891, table 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TimestepSpacing {
    /// 0, r, 2r, … with r = ⌊T / steps⌋, plus `steps_offset`.
    #[default]
    Leading,
    /// T − 1, T − 1 − r, … with r = T / steps.
    Trailing,
    /// Evenly from 0 to T − 1, both ends included.
    Linspace,
}

impl TimestepSpacing {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Leading, Self::Trailing, Self::Linspace];

    /// The name in diffusers' `timestep_spacing`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Leading => "leading",
            Self::Trailing => "trailing",
            Self::Linspace => "linspace",
        }
    }

    /// The spacing of that name.
    ///
    /// # Errors
    /// [`DiffusionError::Unsupported`], which lists the names.
    pub fn by_name(name: &str) -> Result<Self, DiffusionError> {
        Self::ALL
            .into_iter()
            .find(|v| v.name() == name)
            .ok_or_else(|| DiffusionError::Unsupported {
                key: "timestep_spacing",
                value: format!("\"{name}\""),
                expected: "leading, trailing or linspace".into(),
            })
    }
}

/// The class that a configuration is for. Either sampler can run from either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SchedulerClass {
    /// `DDPMScheduler`.
    #[default]
    Ddpm,
    /// `DDIMScheduler`.
    Ddim,
}

impl SchedulerClass {
    /// diffusers' class name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ddpm => "DDPMScheduler",
            Self::Ddim => "DDIMScheduler",
        }
    }
}

/// A scheduler's configuration. Missing keys take diffusers' defaults, so that the files published with
/// early versions load; keys that are not known are kept and written back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Raw")]
pub struct SchedulerConfig {
    /// Which scheduler the file names.
    pub class: SchedulerClass,
    /// The version of diffusers that wrote it.
    pub diffusers_version: String,
    /// T.
    pub num_train_timesteps: usize,
    /// First β.
    pub beta_start: f64,
    /// Last β.
    pub beta_end: f64,
    /// Name of the noise schedule, one of [`schedule::SCHEDULES`].
    pub beta_schedule: String,
    /// β given outright, length T; overrules the schedule.
    pub trained_betas: Option<Vec<f64>>,
    /// Variance of the reverse step; a `DDIMScheduler` has none and keeps the default.
    pub variance_type: VarianceType,
    /// Whether x̂_0 is clamped at each step.
    pub clip_sample: bool,
    /// To what x̂_0 is clamped, ±.
    pub clip_sample_range: f64,
    /// What the network predicts.
    pub prediction_type: Objective,
    /// How sampling steps are spread.
    pub timestep_spacing: TimestepSpacing,
    /// Added to every timestep with leading spacing.
    pub steps_offset: usize,
    /// DDIM: whether ᾱ before the first timestep is 1 (else ᾱ_0).
    pub set_alpha_to_one: bool,
    /// Whether β is rescaled so that ᾱ_T = 0.
    pub rescale_betas_zero_snr: bool,
    /// Keys that are not interpreted.
    pub extra: Map<String, Value>,
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        Self {
            class: SchedulerClass::Ddpm,
            diffusers_version: DIFFUSERS_VERSION.to_owned(),
            num_train_timesteps: 1000,
            beta_start: 1e-4,
            beta_end: 0.02,
            beta_schedule: "linear".to_owned(),
            trained_betas: None,
            variance_type: VarianceType::FixedSmall,
            clip_sample: true,
            clip_sample_range: 1.0,
            prediction_type: Objective::Epsilon,
            timestep_spacing: TimestepSpacing::Leading,
            steps_offset: 0,
            set_alpha_to_one: true,
            rescale_betas_zero_snr: false,
            extra: Map::new(),
        }
    }
}

impl SchedulerConfig {
    /// Reads the text of a `scheduler_config.json`.
    ///
    /// # Errors
    /// [`DiffusionError`] with one sentence for what is malformed, out of range or not supported.
    pub fn from_json(text: &str) -> Result<Self, DiffusionError> {
        serde_json::from_str::<Raw>(text)
            .map_err(|e| DiffusionError::Json(e.to_string()))?
            .try_into()
    }

    /// The text of a `scheduler_config.json` that diffusers reads.
    ///
    /// # Errors
    /// [`DiffusionError`] when the configuration is not valid, or when diffusers' class lacks what it
    /// asks for (`DDIMScheduler` has no sigmoid schedule).
    pub fn to_json(&self) -> Result<String, DiffusionError> {
        self.validate()?;
        if self.class == SchedulerClass::Ddim
            && self.beta_schedule == "sigmoid"
            && self.trained_betas.is_none()
        {
            return Err(DiffusionError::Unsupported {
                key: "beta_schedule",
                value: "\"sigmoid\" in a DDIMScheduler file".into(),
                expected: "DDPMScheduler as the class, from which DDIM can be run as well".into(),
            });
        }
        let mut text = serde_json::to_string_pretty(&Raw::from(self.clone()))
            .map_err(|e| DiffusionError::Json(e.to_string()))?;
        text.push('\n');
        Ok(text)
    }

    /// Whether every value is in range.
    ///
    /// # Errors
    /// [`DiffusionError`] for the first that is not.
    pub fn validate(&self) -> Result<(), DiffusionError> {
        let invalid = |key: &'static str, value: String, expected: &str| {
            Err(DiffusionError::Invalid {
                key,
                value,
                expected: expected.to_owned(),
            })
        };
        if self.num_train_timesteps == 0 || self.num_train_timesteps > MAX_TIMESTEPS {
            return invalid(
                "num_train_timesteps",
                self.num_train_timesteps.to_string(),
                "between 1 and 1000000",
            );
        }
        for (key, value) in [("beta_start", self.beta_start), ("beta_end", self.beta_end)] {
            if !(value > 0.0 && value < 1.0) {
                return invalid(key, value.to_string(), "larger than 0 and smaller than 1");
            }
        }
        schedule::by_name(&self.beta_schedule)?;
        if let Some(betas) = &self.trained_betas {
            super::check_length("trained_betas", self.num_train_timesteps, betas.len())?;
        }
        if !(self.clip_sample_range > 0.0 && self.clip_sample_range.is_finite()) {
            return invalid(
                "clip_sample_range",
                self.clip_sample_range.to_string(),
                "a number larger than 0",
            );
        }
        if self.steps_offset >= self.num_train_timesteps {
            return invalid(
                "steps_offset",
                self.steps_offset.to_string(),
                "smaller than num_train_timesteps",
            );
        }
        if self.rescale_betas_zero_snr && self.prediction_type == Objective::Epsilon {
            return Err(DiffusionError::Unsupported {
                key: "rescale_betas_zero_snr",
                value: "true with prediction_type \"epsilon\"".into(),
                expected: "prediction_type v_prediction or sample, since at ᾱ_T = 0 the noise says nothing of x_0".into(),
            });
        }
        Ok(())
    }

    /// The tables that this configuration describes.
    ///
    /// # Errors
    /// [`DiffusionError`] when the configuration is not valid or a β is not.
    pub fn noise_schedule(&self) -> Result<NoiseSchedule, DiffusionError> {
        self.validate()?;
        let betas = match &self.trained_betas {
            Some(betas) => betas.iter().map(|&b| b as f32).collect(),
            None => schedule::by_name(&self.beta_schedule)?.betas(
                self.num_train_timesteps,
                self.beta_start,
                self.beta_end,
            ),
        };
        NoiseSchedule::from_betas(if self.rescale_betas_zero_snr {
            schedule::rescale_zero_terminal_snr(&betas)?
        } else {
            betas
        })
    }
}

/// The file as it is: every key optional, names as text, so that each refusal has its own sentence.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Raw {
    #[serde(rename = "_class_name", skip_serializing_if = "Option::is_none")]
    class_name: Option<String>,
    #[serde(rename = "_diffusers_version", skip_serializing_if = "Option::is_none")]
    diffusers_version: Option<String>,
    beta_end: Option<f64>,
    beta_schedule: Option<String>,
    beta_start: Option<f64>,
    clip_sample: Option<bool>,
    clip_sample_range: Option<f64>,
    num_train_timesteps: Option<usize>,
    prediction_type: Option<String>,
    rescale_betas_zero_snr: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    set_alpha_to_one: Option<bool>,
    steps_offset: Option<usize>,
    thresholding: Option<bool>,
    timestep_spacing: Option<String>,
    trained_betas: Option<Vec<f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    variance_type: Option<String>,
    /// Before `prediction_type` existed: true for epsilon, false for sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    predict_epsilon: Option<bool>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl TryFrom<Raw> for SchedulerConfig {
    type Error = DiffusionError;

    fn try_from(raw: Raw) -> Result<Self, DiffusionError> {
        let default = Self::default();
        let class = match raw.class_name.as_deref() {
            None | Some("DDPMScheduler") => SchedulerClass::Ddpm,
            Some("DDIMScheduler") => SchedulerClass::Ddim,
            Some(other) => {
                return Err(DiffusionError::Unsupported {
                    key: "_class_name",
                    value: format!("\"{other}\""),
                    expected: "DDPMScheduler or DDIMScheduler".into(),
                });
            }
        };
        if raw.thresholding == Some(true) {
            return Err(DiffusionError::Unsupported {
                key: "thresholding",
                value: "true".into(),
                expected: "clip_sample instead of dynamic thresholding".into(),
            });
        }
        let prediction_type = match (raw.prediction_type, raw.predict_epsilon) {
            (Some(name), _) => Objective::by_name(&name)?,
            (None, Some(false)) => Objective::Sample,
            (None, _) => Objective::Epsilon,
        };
        let config = Self {
            class,
            diffusers_version: raw.diffusers_version.unwrap_or(default.diffusers_version),
            num_train_timesteps: raw
                .num_train_timesteps
                .unwrap_or(default.num_train_timesteps),
            beta_start: raw.beta_start.unwrap_or(default.beta_start),
            beta_end: raw.beta_end.unwrap_or(default.beta_end),
            beta_schedule: raw.beta_schedule.unwrap_or(default.beta_schedule),
            trained_betas: raw.trained_betas,
            variance_type: raw
                .variance_type
                .as_deref()
                .map_or(Ok(default.variance_type), VarianceType::by_name)?,
            clip_sample: raw.clip_sample.unwrap_or(default.clip_sample),
            clip_sample_range: raw.clip_sample_range.unwrap_or(default.clip_sample_range),
            prediction_type,
            timestep_spacing: raw
                .timestep_spacing
                .as_deref()
                .map_or(Ok(default.timestep_spacing), TimestepSpacing::by_name)?,
            steps_offset: raw.steps_offset.unwrap_or(default.steps_offset),
            set_alpha_to_one: raw.set_alpha_to_one.unwrap_or(default.set_alpha_to_one),
            rescale_betas_zero_snr: raw
                .rescale_betas_zero_snr
                .unwrap_or(default.rescale_betas_zero_snr),
            extra: raw.extra,
        };
        config.validate()?;
        Ok(config)
    }
}

impl From<SchedulerConfig> for Raw {
    fn from(config: SchedulerConfig) -> Self {
        let ddpm = config.class == SchedulerClass::Ddpm;
        Self {
            class_name: Some(config.class.name().to_owned()),
            diffusers_version: Some(config.diffusers_version),
            beta_end: Some(config.beta_end),
            beta_schedule: Some(config.beta_schedule),
            beta_start: Some(config.beta_start),
            clip_sample: Some(config.clip_sample),
            clip_sample_range: Some(config.clip_sample_range),
            num_train_timesteps: Some(config.num_train_timesteps),
            prediction_type: Some(config.prediction_type.name().to_owned()),
            rescale_betas_zero_snr: Some(config.rescale_betas_zero_snr),
            set_alpha_to_one: (!ddpm || !config.set_alpha_to_one)
                .then_some(config.set_alpha_to_one),
            steps_offset: Some(config.steps_offset),
            thresholding: Some(false),
            timestep_spacing: Some(config.timestep_spacing.name().to_owned()),
            trained_betas: config.trained_betas,
            variance_type: (ddpm || config.variance_type != VarianceType::default())
                .then(|| config.variance_type.name().to_owned()),
            predict_epsilon: None,
            extra: config.extra,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The form of the file published with google/ddpm-cifar10-32.
    const LEGACY: &str = r#"{"_class_name": "DDPMScheduler", "_diffusers_version": "0.1.1", "beta_end": 0.02,
        "beta_schedule": "linear", "beta_start": 0.0001, "clip_sample": true, "num_train_timesteps": 1000,
        "trained_betas": null, "variance_type": "fixed_large"}"#;

    #[test]
    fn early_files_load_with_diffusers_defaults() {
        let c = SchedulerConfig::from_json(LEGACY).unwrap();
        let expected = SchedulerConfig {
            variance_type: VarianceType::FixedLarge,
            diffusers_version: "0.1.1".into(),
            ..Default::default()
        };
        assert_eq!(c, expected);
        assert_eq!(
            SchedulerConfig::from_json("{}").unwrap(),
            SchedulerConfig::default()
        );
        let old =
            SchedulerConfig::from_json(r#"{"predict_epsilon": false, "tensor_format": "pt"}"#)
                .unwrap();
        assert_eq!(old.prediction_type, Objective::Sample);
        assert_eq!(old.extra["tensor_format"], "pt");
    }

    #[test]
    fn a_round_trip_keeps_everything() {
        let mut c = SchedulerConfig {
            class: SchedulerClass::Ddim,
            num_train_timesteps: 3,
            beta_schedule: "squaredcos_cap_v2".into(),
            trained_betas: Some(vec![0.1, 0.25, 0.5]),
            clip_sample: false,
            clip_sample_range: 2.5,
            prediction_type: Objective::VPrediction,
            timestep_spacing: TimestepSpacing::Trailing,
            steps_offset: 1,
            set_alpha_to_one: false,
            rescale_betas_zero_snr: true,
            variance_type: VarianceType::FixedLarge,
            ..Default::default()
        };
        c.extra
            .insert("dynamic_thresholding_ratio".into(), 0.995.into());
        let text = c.to_json().unwrap();
        assert_eq!(SchedulerConfig::from_json(&text).unwrap(), c);
        // Through serde as well, when it is part of another file.
        let value = serde_json::to_value(&c).unwrap();
        assert_eq!(serde_json::from_value::<SchedulerConfig>(value).unwrap(), c);
    }

    #[test]
    fn what_is_not_supported_is_said_in_one_sentence() {
        for (text, wanted) in [
            (
                r#"{"_class_name": "PNDMScheduler"}"#,
                "\"PNDMScheduler\" is not supported; use DDPMScheduler or",
            ),
            (
                r#"{"variance_type": "learned_range"}"#,
                "use fixed_small or fixed_large",
            ),
            (
                r#"{"variance_type": "fixed_small_log"}"#,
                "\"fixed_small_log\" is not supported",
            ),
            (
                r#"{"thresholding": true}"#,
                "thresholding = true is not supported",
            ),
            (
                r#"{"prediction_type": "flow"}"#,
                "epsilon, sample or v_prediction",
            ),
            (
                r#"{"timestep_spacing": "random"}"#,
                "leading, trailing or linspace",
            ),
            (
                r#"{"beta_schedule": "laplace"}"#,
                "no noise schedule named \"laplace\"",
            ),
            (r#"{"num_train_timesteps": 0}"#, "between 1 and 1000000"),
            (r#"{"beta_end": 1.5}"#, "smaller than 1"),
            (r#"{"clip_sample_range": 0}"#, "larger than 0"),
            (
                r#"{"num_train_timesteps": 2, "trained_betas": [0.1]}"#,
                "trained_betas has 1 values, but 2 are needed",
            ),
            (
                r#"{"rescale_betas_zero_snr": true}"#,
                "v_prediction or sample",
            ),
            (
                r#"{"steps_offset": 1000}"#,
                "smaller than num_train_timesteps",
            ),
            (
                r#"{"beta_start": "small"}"#,
                "not valid JSON of the expected form",
            ),
            (
                r#"{"beta_start": 0.1"#,
                "not valid JSON of the expected form",
            ),
            (r#"[]"#, "not valid JSON of the expected form"),
        ] {
            let message = SchedulerConfig::from_json(text).unwrap_err().to_string();
            assert!(
                message.contains(wanted) && !message.contains('\n'),
                "{text}: {message}"
            );
        }
        let ddim = SchedulerConfig {
            class: SchedulerClass::Ddim,
            beta_schedule: "sigmoid".into(),
            ..Default::default()
        };
        assert!(ddim.noise_schedule().is_ok());
        assert!(
            ddim.to_json()
                .unwrap_err()
                .to_string()
                .contains("DDPMScheduler")
        );
    }
}
