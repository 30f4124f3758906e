//! The benchmark: `run` it, `plot` what came of it. `bare` is what others are measured against.

#[cfg(target_os = "linux")]
mod program;

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<std::process::ExitCode> {
    program::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("the benchmark reads what programs cost from /proc: it needs Linux");
    std::process::exit(1);
}
