//! The steps of the mutual challenge one by one, over anything that sends and receives bytes.

use phalanx::connection::{Digest, Key, MESSAGE_MAX, answer, challenge, verify};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::listener::not_believed;
use crate::once::intern;

const CHALLENGE: &[u8] = b"#CHALLENGE#";
const WELCOME: &[u8] = b"#WELCOME#";
const FAILURE: &[u8] = b"#FAILURE#";

fn key(authkey: &Bound<'_, PyAny>) -> PyResult<Key> {
    match authkey.cast::<PyBytes>() {
        Ok(bytes) => Ok(Key::new(bytes.as_bytes())),
        Err(_) => {
            let text = format!("Authkey must be bytes, not {}", authkey.get_type());
            Err(PyValueError::new_err(text))
        }
    }
}

fn send(connection: &Bound<'_, PyAny>, bytes: &[u8]) -> PyResult<()> {
    let py = connection.py();
    connection.call_method1(intern!(py, "send_bytes"), (PyBytes::new(py, bytes),)).map(drop)
}

fn receive<'py>(connection: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let got = connection.call_method1(intern!(connection.py(), "recv_bytes"), (MESSAGE_MAX,))?;
    Ok(got.cast_into::<PyBytes>()?)
}

/// Have the other side of a connection prove that it knows the key.
///
/// Raises `AuthenticationError` if it does not.
#[pyfunction]
#[pyo3(signature = (connection, authkey, digest_name = "sha256"))]
pub(crate) fn deliver_challenge(
    connection: &Bound<'_, PyAny>,
    authkey: &Bound<'_, PyAny>,
    digest_name: &str,
) -> PyResult<()> {
    let py = connection.py();
    let key = key(authkey)?;
    let digest = Digest::of_name(digest_name.as_bytes())
        .map_err(|e| PyValueError::new_err(e.to_string()))?;
    let challenge = challenge(digest).map_err(crate::error::os_error)?;
    send(connection, &[CHALLENGE, &challenge].concat())?;
    let response = receive(connection)?;
    match verify(&key, &challenge, response.as_bytes()) {
        Ok(()) => send(connection, WELCOME),
        Err(why) => {
            send(connection, FAILURE)?;
            Err(not_believed(py, &why))
        }
    }
}

/// Prove to the other side of a connection that this one knows the key.
///
/// Raises `AuthenticationError` if it is not believed.
#[pyfunction]
pub(crate) fn answer_challenge(
    connection: &Bound<'_, PyAny>,
    authkey: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = connection.py();
    let key = key(authkey)?;
    let message = receive(connection)?;
    let Some(challenge) = message.as_bytes().strip_prefix(CHALLENGE) else {
        return Err(not_believed(py, &"protocol error: a challenge was expected"));
    };
    let answer = answer(&key, challenge).map_err(|why| not_believed(py, &why))?;
    send(connection, &answer)?;
    if receive(connection)?.as_bytes() == WELCOME {
        return Ok(());
    }
    Err(not_believed(py, &"digest sent was rejected"))
}

/// Return the answer to a challenge.
#[pyfunction]
pub(crate) fn create_response<'py>(
    py: Python<'py>,
    authkey: &Bound<'py, PyAny>,
    message: &[u8],
) -> PyResult<Bound<'py, PyBytes>> {
    let answer = answer(&key(authkey)?, message).map_err(|why| not_believed(py, &why))?;
    Ok(PyBytes::new(py, &answer))
}

/// Raise `AuthenticationError` unless that is the answer to a challenge.
#[pyfunction]
pub(crate) fn verify_challenge(
    py: Python<'_>,
    authkey: &Bound<'_, PyAny>,
    message: &[u8],
    response: &[u8],
) -> PyResult<()> {
    verify(&key(authkey)?, message, response).map_err(|why| not_believed(py, &why))
}
