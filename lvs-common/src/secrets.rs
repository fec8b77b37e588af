//! The secrets of the connection table's hash.

/// Sixteen random numbers, drawn once when the tables are made.
pub trait Secrets: Copy {
    /// The number with this index, below sixteen.
    fn secret(self, index: usize) -> u64;
}

impl Secrets for &[u64; 16] {
    fn secret(self, index: usize) -> u64 {
        self.get(index).copied().unwrap_or(0)
    }
}
