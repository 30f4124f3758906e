//! The keys that a client masks its frames with. They are to be unpredictable (RFC 6455, 10.3).

/// So many bytes are asked of the system at once.
const POOL_BYTES: usize = 256;

/// Keys that have not been used.
#[derive(Debug, Default)]
pub(super) struct Masks(Vec<[u8; 4]>);

impl Masks {
    pub(super) fn next(&mut self) -> Result<[u8; 4], getrandom::Error> {
        if let Some(key) = self.0.pop() {
            return Ok(key);
        }
        let mut pool = [0; POOL_BYTES];
        getrandom::fill(&mut pool)?;
        let (keys, _) = pool.as_chunks();
        let (first, others) = keys.split_first().unwrap_or((&[0; 4], &[]));
        self.0.extend_from_slice(others);
        Ok(*first)
    }
}
