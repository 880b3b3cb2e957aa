//! A program in Rust: what `main` prepares, every call finds. Its functions are plain ones.
//!
//!     rustc --edition 2021 -O -g length.rs -o length
//!
//! `Export` and `serve` are the part of udfvm.h that a program needs.
use std::collections::HashMap;
use std::ffi::{c_char, c_int, c_void};
use std::sync::OnceLock;

static UNITS: OnceLock<HashMap<&str, f64>> = OnceLock::new();

/// A length in metres. A unit that does not exist is a panic, which ends the call as a crash, with a backtrace.
///
/// # Safety
/// `unit` points to `length` bytes of UTF-8, as udfvm passes text.
unsafe extern "C" fn metres(value: f64, unit: *const u8, length: usize) -> f64 {
    let unit = std::str::from_utf8(std::slice::from_raw_parts(unit, length)).expect("text is UTF-8");
    value * UNITS.get().expect("main has run").get(unit).expect("a unit of length")
}

/// `struct udfvm_export`.
#[repr(C)]
struct Export {
    name: *const c_char,
    function: *const c_void,
    address: *const c_void,
}

const VERSION: u32 = 6; // UDFVM_NATIVE_VERSION

/// `udfvm_serve()`: in a micro-VM it does not return.
fn serve(exports: &[&Export]) -> c_int {
    let Some(runtime) = std::env::var("UDFVM_RUNTIME").ok().and_then(|text| usize::from_str_radix(&text, 16).ok()) else {
        eprintln!("This program has functions for udfvm, and does nothing by itself.");
        return 1;
    };
    let range = exports.as_ptr_range();
    let serve: extern "C" fn(u32, *const &Export, *const &Export) -> c_int = unsafe { std::mem::transmute(runtime) };
    serve(VERSION, range.start, range.end)
}

fn main() {
    UNITS.get_or_init(|| HashMap::from([("m", 1.0), ("km", 1000.0), ("mi", 1609.344), ("nmi", 1852.0)]));
    let metres = Export { name: c"metres".as_ptr(), function: std::ptr::null(), address: metres as *const c_void };
    std::process::exit(serve(&[&metres]));
}
