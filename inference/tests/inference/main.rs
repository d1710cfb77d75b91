//! What models compute, held to the published code and to what was opened.
