//! Attribute macros of phalanx: `#[phalanx::task]` and `#[phalanx::main]`.

#![forbid(unsafe_code)]

use proc_macro::TokenStream;

mod main_function;
mod task;

/// Makes a program able to start itself again: calls `phalanx::init()` before anything else.
///
/// ```
/// use phalanx::Patience;
/// use phalanx::process::ExitStatus;
///
/// #[phalanx::main]
/// fn main() -> std::io::Result<()> {
///     if let Some(payload) = phalanx::init() {
///         // A child of this program.
///         std::process::exit(payload.len() as i32);
///     }
///     let child = phalanx::entry::start_again(b"seven !")?;
///     let status = child.wait(Patience::forever()).map_err(|_| std::io::Error::other("no end"))?;
///     assert_eq!(status, ExitStatus::Code(7));
///     Ok(())
/// }
/// ```
///
/// The function may return whatever a `main` may return, and must take no arguments.
#[proc_macro_attribute]
pub fn main(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(arguments, item, main_function::expand)
}

/// Makes a function one that other processes can run: `f` stays what it was, and `f::task()` is its
/// handle, a `phalanx::task::Function`, which processes and pools take.
///
/// ```
/// #[phalanx::task]
/// fn area(width: u64, height: u64) -> u64 {
///     width * height
/// }
///
/// assert_eq!(area(3, 4), 12);
/// let pool = phalanx::pool::Pool::new(2)?;
/// assert_eq!(pool.map(area::task(), [(1, 2), (3, 4)])?, [2, 12]);
/// # Ok::<(), phalanx::pool::PoolError>(())
/// ```
///
/// The arguments and the result are types that serde can serialize and deserialize. A function of one
/// argument is called with it; one of several takes them as a tuple; one without any takes `()`. Generic
/// and `async` functions, and methods, cannot be tasks; nor can those with references, since the other
/// process does not see what they point to:
///
/// ```compile_fail
/// #[phalanx::task]
/// fn length(text: &str) -> usize {
///     text.len()
/// }
/// ```
///
/// ```compile_fail
/// #[phalanx::task]
/// fn run(function: fn() -> u64) -> u64 {
///     function()
/// }
/// ```
#[proc_macro_attribute]
pub fn task(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(arguments, item, task::expand)
}

fn expand(
    arguments: TokenStream,
    item: TokenStream,
    with: fn(syn::ItemFn) -> syn::Result<proc_macro2::TokenStream>,
) -> TokenStream {
    let parsed = match syn::parse::<syn::ItemFn>(item) {
        Ok(function) if arguments.is_empty() => with(function),
        Ok(function) => {
            Err(syn::Error::new_spanned(&function.sig.ident, "the attribute takes no arguments"))
        }
        Err(error) => Err(error),
    };
    parsed.unwrap_or_else(|error| error.into_compile_error()).into()
}
