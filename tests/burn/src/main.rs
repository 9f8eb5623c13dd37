//! Measures burn's wgpu backend with the network that `noiselab bench --model mnist32` measures, and prints the figures as
//! JSON. From the root of the repository:
//!
//! ```text
//! cargo run --release --manifest-path tests/burn/Cargo.toml -- [--batch 32] [--seconds 20]
//! ```
//!
//! The adapter is the Vulkan one that wgpu prefers, the software adapter where there is no other;
//! `CUBECL_WGPU_DEFAULT_DEVICE=Cpu` asks for that one. Kernel variants are chosen anew in each run, in the first steps. A
//! training step has neither clipping nor a moving average, which a step of noiselab has.

use std::{error::Error, str::FromStr, time::Instant};

use burn::{
    module::Module,
    optim::{AdamConfig, GradientsParams, ModuleOptimizer},
    tensor::{Device, Distribution, Int, Tensor, wgpu::WgpuBackend},
};
use network::{CHANNELS_OF_IMAGE, Network, SIDE};
use serde_json::json;

mod network;

/// Of the network, as PyTorch counts them.
const PARAMETERS: usize = 1_112_801;
const LEARNING_RATE: f64 = 2e-4;
/// The first step compiles and chooses kernels; the second is still irregular, as some of it is put off.
const WARM_UP: usize = 2;
const FEWEST_STEPS: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let Options { batch, seconds } = Options::from_args(std::env::args().skip(1))?;
    let (device, setup) = Device::wgpu_options()
        .graphics_api(WgpuBackend::Vulkan)
        .init_with_setup()?;
    let adapter = setup.adapter.get_info();

    let schedule = Schedule::linear(1000);
    let network = Network::new(&device.clone().autodiff());
    let parameters = network.num_params();
    assert_eq!(parameters, PARAMETERS, "the network is another one");

    let mut optimizer = AdamConfig::new().with_epsilon(1e-8).init();
    let (network, training) = measure(seconds, network, |network| {
        train(network, &mut optimizer, &schedule, batch, &device)
    });
    let network = network.valid();
    let noise = (images(batch, NORMAL, &device), schedule.len() - 1);
    let (_, sampling) = measure(seconds, noise, |(x, t)| {
        let x = denoise(&network, &schedule, x, t);
        device.sync().expect("the device works");
        (x, t.checked_sub(1).unwrap_or(schedule.len() - 1))
    });

    let report = json!({
        "backend": adapter.backend.to_str(),
        "adapter": adapter.name,
        "batch": batch,
        "parameters": parameters,
        "first_step_seconds": training.first_step_seconds,
        "train_images_per_second": batch as f64 / training.median_seconds,
        "train_steps": training.steps,
        "sample_images_per_second": batch as f64 / sampling.median_seconds,
        "sample_steps": sampling.steps,
    });
    println!("{report:#}");
    Ok(())
}

struct Options {
    batch: usize,
    seconds: f64,
}

impl Options {
    fn from_args(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            batch: 32,
            seconds: 20.0,
        };
        while let Some(name) = args.next() {
            let value = args.next();
            match name.as_str() {
                "--batch" => options.batch = parse(&name, value)?,
                "--seconds" => options.seconds = parse(&name, value)?,
                _ => return Err(format!("{name} is neither --batch nor --seconds")),
            }
        }
        Ok(options)
    }
}

fn parse<T: FromStr>(name: &str, value: Option<String>) -> Result<T, String> {
    let value = value.ok_or_else(|| format!("{name} wants a number"))?;
    let parsed = value.parse();
    parsed.map_err(|_| format!("{name} {value}: not such a number"))
}

struct Speed {
    first_step_seconds: f64,
    median_seconds: f64,
    /// Without the warm-up.
    steps: usize,
}

/// Takes steps, each of which must wait for the device, for that many seconds after the warm-up.
fn measure<State>(
    seconds: f64,
    mut state: State,
    mut step: impl FnMut(State) -> State,
) -> (State, Speed) {
    let mut timed = |state| {
        let begun = Instant::now();
        let state = step(state);
        (state, begun.elapsed().as_secs_f64())
    };
    let mut warm_up = Vec::new();
    let mut times = Vec::new();
    while times.len() < FEWEST_STEPS || times.iter().sum::<f64>() < seconds {
        let taken;
        (state, taken) = timed(state);
        if warm_up.len() < WARM_UP {
            warm_up.push(taken);
        } else {
            times.push(taken);
        }
    }
    times.sort_by(f64::total_cmp);
    let speed = Speed {
        first_step_seconds: warm_up[0],
        median_seconds: times[times.len() / 2],
        steps: times.len(),
    };
    (state, speed)
}

/// The noise of a diffusion process by timestep.
struct Schedule {
    betas: Vec<f64>,
    /// ᾱ_t, the product of 1 - β up to t.
    alpha_bars: Vec<f64>,
}

impl Schedule {
    fn linear(timesteps: usize) -> Self {
        let beta = |t| 1e-4 + (0.02 - 1e-4) * t as f64 / (timesteps - 1) as f64;
        let betas: Vec<f64> = (0..timesteps).map(beta).collect();
        let products = betas.iter().scan(1.0, |product, beta| {
            *product *= 1.0 - beta;
            Some(*product)
        });
        Self {
            alpha_bars: products.collect(),
            betas,
        }
    }

    fn len(&self) -> usize {
        self.betas.len()
    }
}

const NORMAL: Distribution = Distribution::Normal(0.0, 1.0);

fn images(batch: usize, distribution: Distribution, device: &Device) -> Tensor<4> {
    Tensor::random([batch, CHANNELS_OF_IMAGE, SIDE, SIDE], distribution, device)
}

/// A training step on random images, to the end of its work on the device.
fn train(
    network: Network,
    optimizer: &mut ModuleOptimizer,
    schedule: &Schedule,
    batch: usize,
    device: &Device,
) -> Network {
    let device = device.clone().autodiff();
    let x0 = images(batch, Distribution::Uniform(-1.0, 1.0), &device);
    let noise = images(batch, NORMAL, &device);
    let t = Tensor::<1, Int>::random(
        [batch],
        Distribution::Uniform(0.0, schedule.len() as f64),
        &device,
    );
    let alpha_bars = Tensor::<1>::from_floats(schedule.alpha_bars.as_slice(), &device)
        .select(0, t.clone())
        .reshape([batch, 1, 1, 1]);
    let noisy = x0 * alpha_bars.clone().sqrt() + noise.clone() * (-alpha_bars + 1.0).sqrt();
    let loss = (network.forward(noisy, t) - noise).square().mean();
    let gradients = GradientsParams::from_grads(loss.backward(), &network);
    let network = optimizer.step(LEARNING_RATE, network, gradients);
    // The loss alone is there before the weights are.
    device.sync().expect("the device works");
    let loss: f32 = loss.into_scalar();
    assert!(loss.is_finite(), "the loss is {loss}");
    network
}

/// x_{t-1} of x_t, as DDPM draws it.
fn denoise(network: &Network, schedule: &Schedule, x: Tensor<4>, t: usize) -> Tensor<4> {
    let device = x.device();
    let batch = x.dims()[0];
    let (beta, alpha_bar) = (schedule.betas[t], schedule.alpha_bars[t]);
    let noise = network.forward(x.clone(), Tensor::full([batch], t as i64, &device));
    let mean = (x - noise * (beta / (1.0 - alpha_bar).sqrt())) / (1.0 - beta).sqrt();
    if t == 0 {
        return mean;
    }
    let variance = beta * (1.0 - schedule.alpha_bars[t - 1]) / (1.0 - alpha_bar);
    mean + images(batch, NORMAL, &device) * variance.sqrt()
}
