//! `#[phalanx::main]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, ItemFn, Result};

pub(crate) fn expand(function: ItemFn) -> Result<TokenStream> {
    let ItemFn { attrs, vis, sig, block, .. } = &function;
    if let Some(argument) = sig.inputs.first() {
        return Err(Error::new_spanned(argument, "a main function takes no arguments"));
    }
    if let Some(asyncness) = &sig.asyncness {
        return Err(Error::new_spanned(asyncness, "a main function cannot be async here"));
    }
    let statements = &block.stmts;
    Ok(quote! {
        #(#attrs)*
        #vis #sig {
            let _ = ::phalanx::init();
            #(#statements)*
        }
    })
}
