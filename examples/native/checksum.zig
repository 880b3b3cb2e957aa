//! A plain function, in an object that is linked with no library at all.
//!
//!     python -m ziglang build-lib -dynamic -O ReleaseFast checksum.zig

/// Adler-32 (RFC 1950).
export fn adler32(bytes: [*]const u8, length: usize) u32 {
    var low: u32 = 1;
    var high: u32 = 0;
    for (bytes[0..length]) |byte| {
        low = (low + byte) % 65521;
        high = (high + low) % 65521;
    }
    return high << 16 | low;
}
