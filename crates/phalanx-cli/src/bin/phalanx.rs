//! The command `phalanx`.

fn main() {
    let code = phalanx_cli::main(std::env::args_os().skip(1), &phalanx_cli::nearest_python());
    std::process::exit(code);
}
