//! Fetches a page instead of opening a WebSocket: how one asks a relay how it stands, and how
//! commands reach one.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::HeaderValue;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;

use super::{ConnectError, Connector, dial, no_answer};
use crate::socket::Stream;
use crate::target::Target;
use crate::{clock, limits};

/// Why there is no page, in one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// There is no connection, or it broke before the page was complete.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server answered with another status than 200.
    #[error("HTTP status {0}")]
    Status(u16),
    /// What answered is no web server.
    #[error("it does not speak HTTP/1.1")]
    NotHttp,
    /// Longer than [`limits::PAGE_BYTES_MAX`].
    #[error("its answer does not end")]
    TooLarge,
}

impl Connector {
    /// Fetches the page at the address. Redirects are not followed. Runs inside a `LocalSet`.
    pub async fn page(&self) -> Result<Bytes, PageError> {
        self.page_within(limits::UPGRADE_MS).await
    }

    async fn page_within(&self, ms: u64) -> Result<Bytes, PageError> {
        let target = &self.target;
        let request = Request::get(&target.path)
            .body(Full::default())
            // Target::parse has seen the same path pass.
            .map_err(|_| PageError::NotHttp)?;
        let response = self.ask(request, limits::PAGE_BYTES_MAX, ms).await?;
        match response.status() {
            StatusCode::OK => Ok(response.into_body()),
            status => Err(PageError::Status(status.as_u16())),
        }
    }

    /// Sends a request there and takes the answer, whatever its status. Runs inside a `LocalSet`.
    pub(crate) async fn ask(
        &self,
        request: Request<Full<Bytes>>,
        bytes_max: usize,
        ms: u64,
    ) -> Result<Response<Bytes>, PageError> {
        let stream = dial(&self.target).await?;
        let work = async {
            let response = send(&self.target, request, self.secure(stream).await?).await?;
            whole(response, bytes_max).await
        };
        let late = || ConnectError::Unreachable(no_answer(ms));
        clock::timeout(ms, work).await.ok_or_else(late)?
    }
}

async fn send(
    target: &Target,
    mut request: Request<Full<Bytes>>,
    stream: Stream,
) -> Result<Response<Incoming>, PageError> {
    let host = HeaderValue::from_str(&target.authority()).map_err(|_| PageError::NotHttp)?;
    let headers = request.headers_mut();
    headers.insert(header::HOST, host);
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|e| http_words(&e))?;
    tokio::task::spawn_local(connection);
    sender.send_request(request).await.map_err(|e| http_words(&e))
}

async fn whole(
    response: Response<Incoming>,
    bytes_max: usize,
) -> Result<Response<Bytes>, PageError> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, bytes_max);
    let page = body.collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() { PageError::TooLarge } else { broken() }
    })?;
    Ok(Response::from_parts(head, page.to_bytes()))
}

fn http_words(error: &hyper::Error) -> PageError {
    if error.is_parse() { PageError::NotHttp } else { broken() }
}

fn broken() -> PageError {
    ConnectError::Unreachable("connection lost before the end of the answer".into()).into()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::thread::{self, JoinHandle};

    use tokio::task::LocalSet;

    use super::*;

    /// Serves one connection.
    fn serve<T: Send + 'static>(
        serve: impl FnOnce(TcpStream) -> T + Send + 'static,
    ) -> (String, JoinHandle<T>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("ws://{}/a?b", listener.local_addr().unwrap());
        (url, thread::spawn(move || serve(listener.accept().unwrap().0)))
    }

    fn head(stream: &mut TcpStream) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        String::from_utf8(head).unwrap()
    }

    async fn fetch(url: &str, ms: u64) -> Result<Bytes, PageError> {
        let connector = Connector::new(Target::parse(url).unwrap(), []).unwrap();
        LocalSet::new().run_until(connector.page_within(ms)).await
    }

    async fn answered(answer: &'static str) -> Result<Bytes, PageError> {
        let (url, server) = serve(move |mut stream| {
            head(&mut stream);
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let page = fetch(&url, limits::UPGRADE_MS).await;
        server.join().unwrap();
        page
    }

    #[tokio::test]
    async fn a_page_is_fetched_whole_however_its_end_is_told() {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\npa\r\n2\r\nge\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\npage",
        ] {
            assert_eq!(answered(answer).await, Ok(Bytes::from("page")), "{answer}");
        }
    }

    #[tokio::test]
    async fn failures_are_told_apart() {
        for (answer, error) in [
            ("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\npage", PageError::Status(404)),
            ("HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", PageError::Status(302)),
            ("SSH-2.0-OpenSSH_9.2\r\n\r\n", PageError::NotHttp),
            ("", broken()),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\npage", broken()),
        ] {
            assert_eq!(answered(answer).await, Err(error), "{answer}");
        }
    }

    #[tokio::test]
    async fn the_request_asks_for_the_path_and_for_nothing_else() {
        let (url, server) = serve(|mut stream| head(&mut stream));
        let _ = fetch(&url, limits::UPGRADE_MS).await;
        let host = url.trim_start_matches("ws://").trim_end_matches("/a?b");
        let request = format!("get /a?b http/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        assert_eq!(server.join().unwrap().to_ascii_lowercase(), request);
    }

    #[tokio::test]
    async fn an_endless_page_is_given_up() {
        let (url, server) = serve(|mut stream| {
            head(&mut stream);
            stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").unwrap();
            let piece = vec![b' '; 1 << 20];
            // Twice the bound, lest this never ends where nobody keeps it.
            let pieces = 2 * limits::PAGE_BYTES_MAX / piece.len();
            (0..pieces).any(|_| stream.write_all(&piece).is_err())
        });
        assert_eq!(fetch(&url, 60_000).await, Err(PageError::TooLarge));
        assert!(server.join().unwrap(), "it was read to its end");
    }

    #[tokio::test]
    async fn a_silent_server_is_not_waited_for() {
        let (url, server) = serve(|mut stream| stream.read_to_end(&mut Vec::new()).unwrap());
        let late = ConnectError::Unreachable("no answer within 1 s".into());
        assert_eq!(fetch(&url, 1_000).await, Err(late.into()));
        assert!(server.join().unwrap() > 0);
    }
}
