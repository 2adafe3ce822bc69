//! The life of one request, from its head to the head of the answer: THE place to see what
//! happens in which order.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::Response;
use tower::ServiceExt;

use crate::body::Body;
use crate::buffers::Lease;
use crate::client::Peer;
use crate::gate::{self, Admitted};
use crate::generation::{Generation, Published};
use crate::head::{Head, Host};
use crate::process::Process;
use crate::record::Record;
use crate::rejection::Rejection;
use crate::upstream::{self, Answer, Outgoing, Place, fields};

/// What all requests of one connection share.
#[derive(Clone)]
pub struct Exchange {
    pub process: Arc<Process>,
    /// What a reload replaces.
    pub current: Arc<ArcSwap<Generation>>,
    pub generation: Arc<Generation>,
    /// The connection was opened before the last reload, and is to end with its next answer.
    pub outdated: bool,
    pub peer: Arc<Peer>,
    /// The worker that serves the connection, from 0.
    pub worker: usize,
}

/// A body that is still with the client. Read only once its request is admitted: that is also
/// when the client is told to go on (`100 Continue`).
pub trait RequestBody {
    /// The whole body of at most `limit` bytes, paid for by `lease` as it arrives.
    fn read(
        &mut self,
        limit: usize,
        lease: &mut Lease,
    ) -> impl Future<Output = Result<Bytes, Rejection>> + Send;

    /// Returns when the client, whose body was read, has closed the connection.
    fn left(&mut self) -> impl Future<Output = ()> + Send;
}

impl Exchange {
    /// Called when a request has begun: after a reload it is judged by the new rules.
    pub fn renew(&mut self) {
        if !self.generation.is_replaced() {
            return;
        }
        self.generation = self.current.load_full();
        self.outdated = true;
        let find = |name: &Arc<str>| self.generation.site.find(name);
        let application = self.peer.sni.as_ref().and_then(find);
        self.peer = Arc::new(Peer {
            application,
            ..Peer::clone(&self.peer)
        });
    }

    /// Whether the connection is to end once what was asked on it is answered.
    pub fn is_outdated(&self) -> bool {
        self.outdated || self.generation.is_replaced()
    }

    /// Answers a request whose head could be read. `number`: which of its connection, from 1.
    pub async fn answer<B: RequestBody>(
        &self,
        number: u64,
        head: Head,
        body: &mut B,
    ) -> Response<Body> {
        let mut record = Record::start(
            &self.process,
            &self.generation.site,
            &self.peer,
            number,
            Some(head.clone()),
        );
        let result = self.forward(&head, body, &mut record).await;
        self.finish(record, result)
    }

    /// Answers a request whose head could not be read.
    pub fn refuse(&self, number: u64, rejection: Rejection) -> Response<Body> {
        let rejection = match rejection.is_refusal() {
            true => self.process.rates.refused(self.peer.key, rejection),
            false => rejection,
        };
        self.finish(self.headless(number), Err(rejection))
    }

    /// Counts and logs what was refused before it came here: its answer, or a reset, is out
    /// already. False where the client has used up its refusals.
    pub fn was_refused(&self, number: u64, rejection: Rejection) -> bool {
        let mut record = self.headless(number);
        record.answered(rejection.status(), Some(rejection));
        record.completed();
        self.pays()
    }

    /// Takes the price of a refused request from the client. False where it has used up all.
    pub fn pays(&self) -> bool {
        let rates = &self.process.rates;
        rates.refused(self.peer.key, Rejection::MalformedHead) == Rejection::MalformedHead
    }

    fn headless(&self, number: u64) -> Box<Record> {
        let site = &self.generation.site;
        Record::start(&self.process, site, &self.peer, number, None)
    }

    async fn forward<B: RequestBody>(
        &self,
        head: &Head,
        body: &mut B,
        record: &mut Record,
    ) -> Result<Response<Body>, Rejection> {
        let Generation { limits, site, .. } = &*self.generation;

        // 1. Is this published? Whoever asks for something else pays from a bucket of its own.
        let admitted = gate::admit(head, &self.peer, site, limits).map_err(|rejection| {
            record.application = gate::application_of(head, &self.peer, site);
            self.process.rates.refused(self.peer.key, rejection)
        })?;
        record.application = Some(admitted.application);
        record.operation = admitted.operation;

        // 2. Not too often?
        self.process.rates.admitted(self.peer.key)?;

        // 3. The whole body, before NDES hears of the request.
        let mut lease = self.process.buffers.lease();
        let bytes = body.read(limits.body_bytes, &mut lease).await;
        let bytes = bytes.map_err(|rejection| match rejection.is_refusal() {
            true => self.process.rates.refused(self.peer.key, rejection),
            false => rejection,
        })?;
        record.request_body = bytes.len();

        // 4. Only what goes to NDES counts against the rate of all.
        let application = self.generation.applications.get(admitted.application);
        let published = application.ok_or(Rejection::Internal)?;
        let request = self.outgoing(head, published, admitted, bytes)?;
        self.process.rates.forwarded()?;

        // 5. In turn: NDES takes some hundreds of requests at a time, of clients that still wait.
        let began = Instant::now();
        let turn = tokio::select! {
            biased;
            turn = published.queue.enter(self.peer.key) => turn.map_err(|upstream::Busy| Rejection::UpstreamBusy),
            () = body.left() => Err(Rejection::ClientLeft),
        };
        record.waited = Some(began.elapsed());
        let place = turn?;

        // 6. To NDES, and its answer back.
        let answer = published.upstream.clone().oneshot(request).await;
        let answer = answer.map_err(|failure| failure.rejection())?;
        record.upstream = Some(answer.after);
        Ok(self.incoming(head, published, answer, place))
    }

    fn outgoing(
        &self,
        head: &Head,
        published: &Published,
        admitted: Admitted,
        body: Bytes,
    ) -> Result<Outgoing, Rejection> {
        let method = admitted.method.to_http().ok_or(Rejection::Internal)?;
        let client = self.peer.address.ip();
        let fields = fields::request(
            head,
            &method,
            published.host.clone(),
            body.len(),
            client,
            published.client_address,
        );
        let mut request = Outgoing::new(self.worker, method, admitted.operation, admitted.target);
        request.fields = fields;
        request.body = body;
        match published.max_request_head {
            Some(most) if request.head_bytes() > most => Err(Rejection::UpstreamRequestBytes),
            _ => Ok(request),
        }
    }

    fn incoming(
        &self,
        head: &Head,
        published: &Published,
        answer: Answer,
        place: Place,
    ) -> Response<Body> {
        let mut response = Body::upstream(answer, place);
        let public = public_host(head).or(self.peer.sni.as_deref());
        fields::clean_response(response.headers_mut(), &published.internal_names, public);
        response
    }

    /// The one place where a refusal becomes an answer, and where every answer gets its record.
    fn finish(
        &self,
        mut record: Box<Record>,
        result: Result<Response<Body>, Rejection>,
    ) -> Response<Body> {
        let (response, rejection) = match result {
            Ok(response) => (response, None),
            Err(rejection) => {
                let response = rejection.into_response().map(Body::own);
                (response, Some(rejection))
            }
        };
        record.answered(response.status(), rejection);
        response.map(|body| body.recorded(record))
    }
}

/// Host as the client wrote it, its port included. The gate has checked it.
fn public_host(head: &Head) -> Option<&str> {
    match &head.host {
        Host::One(host) => std::str::from_utf8(host).ok(),
        Host::Absent | Host::Several => None,
    }
}
