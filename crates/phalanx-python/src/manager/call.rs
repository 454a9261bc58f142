//! Requests and their replies: calls of served objects' methods.
//!
//! The ordinary call is made here. Everything else (functions of the server, methods whose result
//! stays in the server, objects that are not there, clients of another library) is the Python
//! server object's affair.

use pyo3::exceptions::{PyException, PyOSError};
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyBytes, PyDict, PyDictItems, PyDictKeys, PyDictValues, PyList, PyTuple,
};

use crate::codec;
use crate::once::intern;

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
        self.owner.call_method1(serve, (&self.client, request))?.extract()
    }

    /// Answers a request of a client that stays. Nothing is returned when its connection has to be
    /// closed; the inner nothing is no reply.
    pub(super) fn next(
        &self,
        request: &Bound<'py, PyBytes>,
    ) -> PyResult<Option<Option<Bound<'py, PyBytes>>>> {
        let py = self.owner.py();
        let decoded = match names_other_classes(request.as_bytes()) {
            true => None,
            false => codec::load_whole(py, request.as_any()).ok(),
        };
        let reply = match decoded {
            Some(decoded) => match self.ordinary(&decoded) {
                Some(call) => return self.packed_reply_of(call),
                // What it was made of may be there only once: not to be unpickled again.
                None => {
                    let serve = intern!(py, "_serve_and_pack");
                    self.owner.call_method1(serve, (&self.client, decoded))?
                }
            },
            None => {
                let serve = intern!(py, "_serve_next");
                self.owner.call_method1(serve, (&self.client, request))?
            }
        };
        // Bytes, or false for no reply, or none to close the connection.
        Ok((!reply.is_none()).then(|| reply.cast_into().ok()))
    }

    fn packed_reply_of(&self, call: Call<'py>) -> PyResult<Option<Option<Bound<'py, PyBytes>>>> {
        let py = self.owner.py();
        let Some(reply) = self.reply_of(call.call())? else { return Ok(None) };
        if let Ok(bytes) = codec::encode_whole(py, &reply, None)
            && !names_own_classes(bytes.as_bytes())
        {
            return Ok(Some(Some(bytes)));
        }
        let pack = intern!(py, "_pack");
        Ok(Some(Some(self.owner.call_method1(pack, (&self.client, reply))?.extract()?)))
    }

    /// The pipe that a client which is a relative wants to go on with, once.
    pub(super) fn pipe(&self) -> PyResult<Option<Bound<'py, PyAny>>> {
        let name = intern!(self.owner.py(), "pipe");
        let pipe = self.client.getattr(name)?;
        if pipe.is_none() {
            return Ok(None);
        }
        self.client.setattr(name, self.owner.py().None())?;
        Ok(Some(pipe))
    }

    /// Answers one request that comes over a pipe; false when the client has gone or has to go.
    pub(super) fn answer(&self, pipe: &Bound<'py, PyAny>) -> PyResult<bool> {
        let py = self.owner.py();
        let Ok(request) = pipe.call_method0(intern!(py, "recv")) else { return Ok(false) };
        let reply = match self.ordinary(&request) {
            Some(call) => match call.call() {
                Ok(value) => PyTuple::new(py, [value])?.into_any(),
                Err(error) => match self.reply_of(Err(error))? {
                    Some(reply) => reply,
                    None => return Ok(false),
                },
            },
            None => {
                let serve = intern!(py, "_serve");
                let reply = self.owner.call_method1(serve, (&self.client, request))?;
                if reply.is_none() {
                    return Ok(false);
                }
                if reply.is_instance_of::<PyBool>() {
                    return Ok(true);
                }
                reply
            }
        };
        let send = intern!(py, "send");
        match pipe.call_method1(send, (&reply,)) {
            Ok(_) => Ok(true),
            Err(error) if error.is_instance_of::<PyOSError>(py) => Ok(false),
            Err(error) => {
                let other = intern!(py, "_sendable");
                let reply = self.owner.call_method1(other, (reply, error))?;
                Ok(pipe.call_method1(send, (reply,)).is_ok())
            }
        }
    }

    fn reply_of(&self, result: PyResult<Bound<'py, PyAny>>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = self.owner.py();
        let reply = match result {
            Ok(value) => (&self.returned, value),
            Err(error) if error.is_instance_of::<PyException>(py) => {
                (&self.error, error.into_value(py).into_bound(py).into_any())
            }
            // An exit ends the thread that serves the client.
            Err(_) => return Ok(None),
        };
        Ok(Some(reply.into_pyobject(py)?.into_any()))
    }

    /// Ends the server.
    pub(super) fn stop(&self) -> PyResult<()> {
        self.owner.call_method0(intern!(self.owner.py(), "_stop"))?;
        Ok(())
    }

    /// What the request calls, if it is nothing out of the ordinary.
    fn ordinary(&self, request: &Bound<'py, PyAny>) -> Option<Call<'py>> {
        let request = request.cast::<PyTuple>().ok()?;
        let kwds = match request.len() {
            3 => None,
            4 => Some(request.get_item(3).ok()?.cast_into::<PyDict>().ok()?),
            _ => return None,
        };
        let (ident, name) = (request.get_item(0).ok()?, request.get_item(1).ok()?);
        let args = request.get_item(2).ok()?.cast_into::<PyTuple>().ok()?;
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
    kwds: Option<Bound<'py, PyDict>>,
}

impl<'py> Call<'py> {
    fn call(self) -> PyResult<Bound<'py, PyAny>> {
        let result = match self.kwds.filter(|kwds| !kwds.is_empty()) {
            None => self.function.call1(self.args),
            Some(kwds) => self.function.call(self.args, Some(&kwds)),
        }?;
        // Views of a dictionary go as lists: what they are views of stays here.
        let is_view = result.is_exact_instance_of::<PyDictKeys>()
            || result.is_exact_instance_of::<PyDictValues>()
            || result.is_exact_instance_of::<PyDictItems>();
        if is_view {
            Ok(PyList::new(result.py(), result.try_iter()?.collect::<PyResult<Vec<_>>>()?)?
                .into_any())
        } else {
            Ok(result)
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
