//! What tests try every day of a product too large for that.

/// Whether `TIDEMARK_CRASH=all` asks for the whole product instead of a sample.
pub fn is_whole() -> bool {
    std::env::var("TIDEMARK_CRASH").is_ok_and(|wanted| wanted == "all")
}
