//! Plain functions: numbers as they are, text as pointer and length.
//!
//!     rustc -O -g --crate-type cdylib distance.rs -o distance.so

/// Great-circle distance in kilometres, by the haversine formula.
#[no_mangle]
pub extern "C" fn distance(latitude: f64, longitude: f64, to_latitude: f64, to_longitude: f64) -> f64 {
    let (a, b) = (latitude.to_radians(), to_latitude.to_radians());
    let half = |from: f64, to: f64| ((to - from) / 2.0).sin().powi(2);
    let chord = half(a, b) + a.cos() * b.cos() * half(longitude.to_radians(), to_longitude.to_radians());
    2.0 * 6371.0088 * chord.sqrt().asin()
}

/// How often a byte is in the text. A panic ends the call as a crash, with a backtrace.
///
/// # Safety
/// `text` points to `length` bytes of UTF-8, as udfvm passes text.
#[no_mangle]
pub unsafe extern "C" fn occurrences(text: *const u8, length: usize, byte: u8) -> i64 {
    assert!(byte.is_ascii(), "a byte of a longer character is no character");
    std::slice::from_raw_parts(text, length).iter().filter(|&&each| each == byte).count() as i64
}
