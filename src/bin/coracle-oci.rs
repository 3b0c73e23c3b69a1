//! `coracle-oci`: the command line of the OCI runtime specification, for engines that drive containers by it.

fn main() -> std::process::ExitCode {
    coracle::oci::main()
}
