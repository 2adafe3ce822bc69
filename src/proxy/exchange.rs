//! The life of one request, from its head to the head of the answer: THE place to see what
//! happens in which order.

mod detach;

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use detach::DetachOnDrop;
use http::Response;
use tower::ServiceExt;

use crate::base::buffers::Lease;
use crate::base::client::Peer;
use crate::base::head::{Head, Host, Method};
use crate::base::rejection::Rejection;
use crate::insight::{Asked, Insight};
use crate::proxy::body::Body;
use crate::proxy::gate::{self, Admitted};
use crate::proxy::generation::{Generation, Published};
use crate::proxy::process::Process;
use crate::proxy::record::Record;
use crate::scep::Operation;
use crate::upstream::{Outgoing, Permit, Turn, fields};

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

/// A request that has its turn at NDES.
struct Call {
    generation: Arc<Generation>,
    /// Index into its applications.
    application: usize,
    request: Outgoing,
    permit: Permit,
    /// Pays for the body of the request.
    _lease: Lease,
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
        // A load balancer asks often and wants no line of log for it.
        if self.asks_whether_it_serves(&head) {
            return Response::new(Body::own(Bytes::from_static(b"ready\n")));
        }
        let head = Arc::new(head);
        let mut record = self.record(number, Some(head.clone()));
        let call = match self.prepare(&head, body, &mut record).await {
            Ok(call) => call,
            Err(rejection) => return finish(record, Err(rejection)),
        };
        let is_enrolment = record.operation == Some(Operation::PKIOperation);
        let answer = call.answer(head, record);
        if !is_enrolment {
            return answer.await;
        }
        let mut response = DetachOnDrop::new(answer, &self.process.detached).await;
        if has_left(body) {
            response.body_mut().left_early();
        }
        response
    }

    fn asks_whether_it_serves(&self, head: &Head) -> bool {
        let path = self.generation.probe_path.as_ref();
        path.is_some_and(|path| path.as_str().as_bytes() == head.target.path())
            && matches!(head.method, Method::Get | Method::Head)
    }

    /// Answers a request whose head could not be read.
    pub fn refuse(&self, number: u64, rejection: Rejection) -> Response<Body> {
        finish(self.record(number, None), Err(self.priced(rejection)))
    }

    /// Counts and logs what was refused before it came here: its answer, or a reset, is out
    /// already. False where the client has used up its refusals.
    pub fn was_refused(&self, number: u64, rejection: Rejection) -> bool {
        let mut record = self.record(number, None);
        record.answered(rejection.status(), Some(rejection));
        record.completed();
        self.pays()
    }

    /// Takes the price of a refused request from the client. False where it has used up all.
    pub fn pays(&self) -> bool {
        let rates = &self.process.rates;
        rates.refused(self.peer.key, Rejection::MalformedHead) == Rejection::MalformedHead
    }

    /// `head` is none where it could not be read.
    fn record(&self, number: u64, head: Option<Arc<Head>>) -> Box<Record> {
        let site = &self.generation.site;
        Record::start(&self.process, site, &self.peer, number, head)
    }

    /// All that comes before NDES hears of the request.
    async fn prepare<B: RequestBody>(
        &self,
        head: &Head,
        body: &mut B,
        record: &mut Record,
    ) -> Result<Call, Rejection> {
        let Generation { limits, site, .. } = &*self.generation;

        // 1. Is this published? Whoever asks for something else pays from a bucket of its own.
        let admitted = gate::admit(head, &self.peer, site, limits).map_err(|rejection| {
            record.application = gate::application_of(head, &self.peer, site);
            self.priced(rejection)
        })?;
        record.application = Some(admitted.application);
        record.operation = admitted.operation;
        let application = admitted.application;
        let published = self.generation.applications.get(application);
        let published = published.ok_or(Rejection::Internal)?;
        if admitted.operation == Some(Operation::PKIOperation) {
            let user_agent = head.user_agent.as_ref();
            published.scep.enrols(self.peer.key, user_agent);
        }

        // 2. Not too often?
        self.process.rates.admitted(self.peer.key)?;

        // 3. The whole body, before NDES hears of the request.
        let mut lease = self.process.buffers.lease();
        let bytes = body.read(limits.body_bytes, &mut lease).await;
        let bytes = bytes.map_err(|rejection| self.priced(rejection))?;
        record.request_body = bytes.len();

        // 4. What does its SCEP message say, and is that allowed?
        let asked = Asked {
            method: admitted.method,
            operation: admitted.operation,
            target: &admitted.target,
            body: &bytes,
            client: self.peer.key,
            user_agent: head.user_agent.as_ref(),
            policy_module: published.policy_module,
            started: record.started,
        };
        let insight = record
            .insight
            .insert(Insight::begin(&published.scep, &asked));
        gate::policy::check(&published.policy, insight.message())
            .map_err(|rejection| self.priced(rejection))?;

        // 5. Only what goes to NDES counts against the rate of all.
        let request = self.outgoing(head, published, admitted, bytes)?;
        self.process.rates.forwarded()?;

        if let Some(insight) = &mut record.insight {
            insight.waits();
        }

        // 6. In turn: NDES takes some hundreds of requests at a time, of clients that still wait.
        let permit = match published.queue.enter(self.peer.key) {
            Turn::Now(permit) => {
                record.waited = Some(Duration::ZERO);
                permit
            }
            Turn::Never => return Err(Rejection::UpstreamBusy),
            Turn::Later(waiting) => {
                let began = Instant::now();
                let turn = tokio::select! {
                    biased;
                    turn = waiting.turn() => turn.ok_or(Rejection::UpstreamBusy),
                    () = body.left() => Err(Rejection::ClientLeft),
                };
                record.waited = Some(began.elapsed());
                turn?
            }
        };
        Ok(Call {
            generation: self.generation.clone(),
            application,
            request,
            permit,
            _lease: lease,
        })
    }

    /// Takes the price of a refusal; whoever has used up all of them is told so instead.
    fn priced(&self, rejection: Rejection) -> Rejection {
        match rejection.is_refusal() {
            true => self.process.rates.refused(self.peer.key, rejection),
            false => rejection,
        }
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
            &published.host,
            body.len(),
            client,
            published.client_address,
        );
        let (operation, target) = (admitted.operation, admitted.target);
        let mut request = Outgoing::new(self.worker, method, operation, target, fields);
        request.body = body;
        match published.max_request_head {
            Some(most) if request.head_bytes() > most => Err(Rejection::UpstreamRequestBytes),
            _ => Ok(request),
        }
    }
}

impl Call {
    /// 7. To NDES, and its answer back. Needs the client no more.
    async fn answer(self, head: Arc<Head>, mut record: Box<Record>) -> Response<Body> {
        let Some(published) = self.generation.applications.get(self.application) else {
            return finish(record, Err(Rejection::Internal));
        };
        let answer = published.upstream.clone().oneshot(self.request).await;
        let result = match answer {
            Ok(answer) => {
                record.upstream_answered(&answer);
                let mut response = Body::upstream(answer, self.permit);
                let public = public_host(&head).or_else(|| record.sni());
                let fields = response.headers_mut();
                fields::clean_response(fields, &published.internal_names, public);
                Ok(response)
            }
            Err(failure) => {
                record.upstream_failed(&failure);
                Err(failure.rejection())
            }
        };
        finish(record, result)
    }
}

/// The one place where a refusal becomes an answer, and where every answer gets its record.
fn finish(mut record: Box<Record>, result: Result<Response<Body>, Rejection>) -> Response<Body> {
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

/// Whether the client has closed the connection by now.
fn has_left<B: RequestBody>(body: &mut B) -> bool {
    pin!(body.left())
        .poll(&mut Context::from_waker(Waker::noop()))
        .is_ready()
}

/// Host as the client wrote it, its port included. The gate has checked it.
fn public_host(head: &Head) -> Option<&str> {
    match &head.host {
        Host::One(host) => std::str::from_utf8(host).ok(),
        Host::Absent | Host::Several => None,
    }
}
