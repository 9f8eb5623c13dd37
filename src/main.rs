//! noiselab: the app in a window or in the page, and the command line.

#[cfg(not(target_arch = "wasm32"))]
mod cli;
#[cfg(not(target_arch = "wasm32"))]
mod remembered;
#[cfg(feature = "app")]
mod ui;

#[cfg(not(target_arch = "wasm32"))]
fn main() -> std::process::ExitCode {
    cli::main()
}

#[cfg(target_arch = "wasm32")]
fn main() {
    #[cfg(feature = "app")]
    ui::platform::start();
}
