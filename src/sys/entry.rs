//! A `main` without the standard library's runtime before it.

/// Makes `$main`, a `fn() -> i32`, the program's entry; the program says `#![no_main]`.
///
/// What the runtime would do before `main` costs the shim a tenth of a millisecond: it reads `/proc/self/maps` to place a guard page,
/// installs handlers that print of a stack overflow, and looks whether descriptors 0 to 2 are open, which systemd sees to. `SIGPIPE` stays
/// as systemd has set it (`IgnoreSIGPIPE=`). `std::env::args` works all the same, since the C library passes the arguments on.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        #[unsafe(no_mangle)]
        extern "C" fn main(_count: std::ffi::c_int, _values: *const *const std::ffi::c_char) -> std::ffi::c_int {
            $main()
        }
    };
}
