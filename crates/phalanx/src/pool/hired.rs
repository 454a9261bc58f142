pub(crate) fn work(_payload: &[u8]) -> i32 {
    1
}
