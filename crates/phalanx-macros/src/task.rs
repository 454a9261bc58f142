//! `#[phalanx::task]`.
//!
//! A function lives among the values, a braced struct among the types: so both may have one name, and
//! the function's handle can be an associated function of the struct.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Error, FnArg, ItemFn, Result, ReturnType};

pub(crate) fn expand(function: ItemFn) -> Result<TokenStream> {
    let sig = &function.sig;
    if let Some(generic) = sig.generics.params.first() {
        let text = "a generic function is many functions: write one for each that is to be a task";
        return Err(Error::new_spanned(generic, text));
    }
    if let Some(asyncness) = &sig.asyncness {
        return Err(Error::new_spanned(asyncness, "a worker runs functions, not futures"));
    }
    if let syn::Safety::Unsafe(unsafety) = &sig.safety {
        return Err(Error::new_spanned(unsafety, "a worker can only call a safe function"));
    }
    let mut types = Vec::new();
    for argument in &sig.inputs {
        match argument {
            FnArg::Typed(argument) => types.push(&argument.ty),
            FnArg::Receiver(receiver) => {
                return Err(Error::new_spanned(receiver, "a method cannot be a task"));
            }
        }
    }
    let (vis, ident) = (&function.vis, &sig.ident);
    let names: Vec<_> = (0..types.len()).map(|at| format_ident!("argument_{at}")).collect();
    let (argument, pattern) = match (&types[..], &names[..]) {
        ([one], [name]) => (quote!(#one), quote!(#name)),
        (many, names) => (quote!((#(#many),*)), quote!((#(#names),*))),
    };
    let output = match &sig.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, output) => quote!(#output),
    };
    let doc = format!("The handle of the task `{ident}`.");
    Ok(quote! {
        #function

        #[doc = #doc]
        #[allow(non_camel_case_types, dead_code)]
        #vis struct #ident {}

        impl #ident {
            /// The function with its name, for a pool.
            #[allow(dead_code)]
            #vis fn task() -> ::phalanx::pool::Function<#argument, #output> {
                fn call(#pattern: #argument) -> #output {
                    #ident(#(#names),*)
                }
                ::phalanx::pool::Function::new(
                    ::core::concat!(::core::module_path!(), "::", ::core::stringify!(#ident)),
                    call,
                )
            }
        }
    })
}
