//! `#[phalanx::task]`.
//!
//! A function lives among the values, a braced struct among the types: so both may have one name, and
//! the function's handle can be an associated function of the struct.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote};
use syn::visit::{self, Visit};
use syn::{Error, FnArg, ItemFn, Result, ReturnType, Type, TypeReference};

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
            FnArg::Typed(argument) => types.push(&*argument.ty),
            FnArg::Receiver(receiver) => {
                return Err(Error::new_spanned(receiver, "a method cannot be a task"));
            }
        }
    }
    for argument in &types {
        refuse_references(argument, "an argument")?;
    }
    let output = match &sig.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, output) => {
            refuse_references(output, "a result")?;
            quote!(#output)
        }
    };
    let (vis, ident) = (&function.vis, &sig.ident);
    let names: Vec<_> = (0..types.len()).map(|at| format_ident!("argument_{at}")).collect();
    let (argument, pattern) = match (&types[..], &names[..]) {
        ([one], [name]) => (quote!(#one), quote!(#name)),
        (many, names) => (quote!((#(#many),*)), quote!((#(#names),*))),
    };
    let signature = quote!((#(#types),*) -> #output).to_string();
    let doc = format!("The handle of the task `{ident}`.");
    Ok(quote! {
        #function

        #[doc = #doc]
        #[allow(non_camel_case_types, dead_code)]
        #vis struct #ident {}

        impl #ident {
            /// The function's handle, for processes and pools.
            #[allow(dead_code)]
            #vis fn task() -> ::phalanx::task::Function<#argument, #output> {
                // Not named so that a task of the same name would be meant by its own call.
                fn __phalanx_call(#pattern: #argument) -> #output {
                    #ident(#(#names),*)
                }
                fn __phalanx_run(
                    argument: &[::core::primitive::u8],
                    out: &mut ::phalanx::task::Out,
                ) -> ::phalanx::task::Outcome {
                    ::phalanx::task::run(__phalanx_call, argument, out)
                }
                #[::phalanx::__private::linkme::distributed_slice(::phalanx::task::TASKS)]
                #[linkme(crate = ::phalanx::__private::linkme)]
                static REGISTERED: ::phalanx::task::Registered = ::phalanx::task::Registered::new(
                    ::core::concat!(::core::module_path!(), "::", ::core::stringify!(#ident)),
                    #signature,
                    (::core::file!(), ::core::line!(), ::core::column!()),
                    __phalanx_run,
                );
                ::phalanx::task::Function::new(&REGISTERED, __phalanx_call)
            }
        }
    })
}

/// A reference is found wherever it stands in a type; one behind an alias or in a struct has a lifetime,
/// and is refused by the compiler for want of `DeserializeOwned`.
fn refuse_references(in_type: &Type, what: &str) -> Result<()> {
    struct Find<'t>(Option<&'t TypeReference>);
    impl<'t> Visit<'t> for Find<'t> {
        fn visit_type_reference(&mut self, found: &'t TypeReference) {
            self.0.get_or_insert(found);
        }

        // What a function pointer takes stays where it is; that it cannot be sent is said by others.
        fn visit_type_fn_ptr(&mut self, _: &'t syn::TypeFnPtr) {}

        fn visit_type(&mut self, inner: &'t Type) {
            visit::visit_type(self, inner);
        }
    }
    let mut find = Find(None);
    find.visit_type(in_type);
    let Some(found) = find.0 else { return Ok(()) };
    let target = found.elem.to_token_stream().to_string();
    let instead = match (&*found.elem, target.as_str()) {
        (_, "str") => "`String`".to_owned(),
        (Type::Slice(slice), _) => format!("`Vec<{}>`", slice.elem.to_token_stream()),
        (_, target) => format!("`{target}`"),
    };
    let text = format!(
        "{what} of a task travels to another process, which cannot see what a reference points to: \
         write {instead} instead"
    );
    Err(Error::new_spanned(found, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(function: ItemFn) -> String {
        expand(function).err().map_or_else(String::new, |error| error.to_string())
    }

    #[test]
    fn references_are_refused_with_what_to_write_instead() {
        let with = |ty: Type| refusal(syn::parse_quote!(fn f(a: u8, b: #ty) {}));
        assert!(with(syn::parse_quote!(&str)).ends_with("write `String` instead"));
        assert!(with(syn::parse_quote!(Option<&[u64]>)).ends_with("write `Vec<u64>` instead"));
        assert!(with(syn::parse_quote!((u8, &'static mut Point))).ends_with("`Point` instead"));
        assert_eq!(with(syn::parse_quote!(Vec<String>)), "");
        let result = refusal(syn::parse_quote!(
            fn f() -> &'static str {
                ""
            }
        ));
        assert!(result.starts_with("a result of a task"), "{result}");
    }

    #[test]
    fn what_has_no_name_of_its_own_is_refused() {
        assert!(
            refusal(syn::parse_quote!(
                fn f<T>(t: T) {}
            ))
            .contains("generic")
        );
        assert!(
            refusal(syn::parse_quote!(
                async fn f() {}
            ))
            .contains("futures")
        );
        assert!(refusal(syn::parse_str("unsafe fn f() {}").expect("a function")).contains("safe"));
        assert!(
            refusal(syn::parse_quote!(
                fn f(self) {}
            ))
            .contains("method")
        );
        assert_eq!(
            refusal(syn::parse_quote!(
                fn f(a: u8) -> u8 {
                    a
                }
            )),
            ""
        );
    }
}
