//! A file that does not fit one invocation. By default one of some megabytes in invocations of a moment; with `TIDEMARK_LARGE=5000` one of
//! so many megabytes in invocations of 60 s, which is measured rather than tested.
