//! Requests and their replies: calls of served objects' methods.
//!
//! The ordinary call is made here. Everything else (functions of the server, methods whose result
//! stays in the server, objects that are not there, clients of another library) is the Python
//! server object's affair.

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};

use crate::codec;

/// One connection's place at the server: what its requests are answered with.
pub(super) struct Desk<'py> {
    owner: Bound<'py, PyAny>,
    /// The server's table: the object, its exposed methods and the types of their results by id.
    objects: Bound<'py, PyDict>,
    /// What the Python side remembers of this connection.
    client: Bound<'py, PyAny>,
    returned: Bound<'py, PyAny>,
    error: Bound<'py, PyAny>,
}

impl<'py> Desk<'py> {
    pub(super) fn new(owner: &Bound<'py, PyAny>) -> PyResult<Self> {
        let py = owner.py();
        Ok(Self {
            owner: owner.clone(),
            objects: owner.getattr(intern!(py, "id_to_obj"))?.cast_into()?,
            client: owner.call_method0(intern!(py, "_new_client"))?,
            returned: intern!(py, "#RETURN").clone().into_any(),
            error: intern!(py, "#ERROR").clone().into_any(),
        })
    }

    /// Answers a connection's first request: the reply, and whether more requests follow.
    pub(super) fn first(
        &self,
        request: &Bound<'py, PyBytes>,
    ) -> PyResult<(Option<Bound<'py, PyBytes>>, bool)> {
        let serve = intern!(self.owner.py(), "_serve_first");
        Ok(self.owner.call_method1(serve, (&self.client, request))?.extract()?)
    }

    /// Answers a request of a client that stays. Nothing is returned when its connection has to be
    /// closed; the inner nothing is no reply.
    pub(super) fn next(
        &self,
        request: &Bound<'py, PyBytes>,
    ) -> PyResult<Option<Option<Bound<'py, PyBytes>>>> {
        let py = self.owner.py();
        if let Some(call) = self.ordinary(request) {
            let reply = match call.call() {
                Ok(value) => (&self.returned, value),
                Err(error) if error.is_instance_of::<PyException>(py) => {
                    (&self.error, error.into_value(py).into_bound(py).into_any())
                }
                // An exit ends the thread that serves the client.
                Err(_) => return Ok(None),
            };
            let reply = reply.into_pyobject(py)?.into_any();
            if let Ok(bytes) = codec::encode_whole(py, &reply, None)
                && !names_own_classes(bytes.as_bytes())
            {
                return Ok(Some(Some(bytes)));
            }
            let pack = intern!(py, "_pack");
            return Ok(Some(Some(
                self.owner.call_method1(pack, (&self.client, reply))?.extract()?,
            )));
        }
        let serve = intern!(py, "_serve_next");
        let reply = self.owner.call_method1(serve, (&self.client, request))?;
        // Bytes, or false for no reply, or none to close the connection.
        Ok((!reply.is_none()).then(|| reply.cast_into().ok()))
    }

    /// Ends the server.
    pub(super) fn stop(&self) -> PyResult<()> {
        self.owner.call_method0(intern!(self.owner.py(), "_stop"))?;
        Ok(())
    }

    /// What the request calls, if it is nothing out of the ordinary.
    fn ordinary(&self, request: &Bound<'py, PyBytes>) -> Option<Call<'py>> {
        let py = self.owner.py();
        if names_other_classes(request.as_bytes()) {
            return None;
        }
        let request = codec::load_whole(py, request.as_any()).ok()?;
        let (ident, name, args, kwds): (
            Bound<'py, PyAny>,
            Bound<'py, PyAny>,
            Bound<'py, PyTuple>,
            Bound<'py, PyDict>,
        ) = request.extract().ok()?;
        let entry = self.objects.get_item(&ident).ok()??;
        let entry = entry.cast::<PyTuple>().ok()?;
        if !entry.get_item(1).ok()?.contains(&name).ok()? {
            return None;
        }
        let kept = entry.get_item(2).ok()?;
        if !kept.is_none() && kept.contains(&name).ok()? {
            return None;
        }
        let function = entry.get_item(0).ok()?.getattr(name.cast().ok()?).ok()?;
        Some(Call { function, args, kwds })
    }
}

struct Call<'py> {
    function: Bound<'py, PyAny>,
    args: Bound<'py, PyTuple>,
    kwds: Bound<'py, PyDict>,
}

impl<'py> Call<'py> {
    fn call(self) -> PyResult<Bound<'py, PyAny>> {
        match self.kwds.is_empty() {
            true => self.function.call1(self.args),
            false => self.function.call(self.args, Some(&self.kwds)),
        }
    }
}

/// Whether a pickle may name classes of ours, which another library's client has under other names.
fn names_own_classes(pickle: &[u8]) -> bool {
    contains(pickle, b"phalanx.")
}

/// Whether a pickle may name the classes that another library has for ours.
fn names_other_classes(pickle: &[u8]) -> bool {
    contains(pickle, b"multiprocessing.")
}

fn contains(pickle: &[u8], name: &[u8]) -> bool {
    pickle.windows(name.len()).any(|window| window == name)
}
