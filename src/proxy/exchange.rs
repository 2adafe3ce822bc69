//! The life of one request, from its head to the head of the response. This is the place to see
//! what happens in which order.

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

use super::application::Upstream;
use super::body::Body;
use super::gate::{self, Admitted};
use super::generation::Generation;
use super::peer::Peer;
use super::process::Process;
use super::record::Record;
use crate::base::buffers::Lease;
use crate::base::head::{Head, Host, Method};
use crate::base::rejection::Rejection;
use crate::insight::{AdmittedRequest, Insight};
use crate::scep::Operation;
use crate::upstream::{Admission, Outgoing, Permit, fields};

/// What all requests of one connection share.
#[derive(Clone)]
pub struct Exchange {
    pub process: Arc<Process>,
    /// What a reload replaces.
    pub current: Arc<ArcSwap<Generation>>,
    pub generation: Arc<Generation>,
    /// The connection was opened before the last reload, and closes after its next response.
    pub outdated: bool,
    pub peer: Arc<Peer>,
    /// The worker that serves the connection, from 0.
    pub worker: usize,
}

/// A request that has a permit for NDES.
struct Call {
    upstream: Arc<Upstream>,
    request: Outgoing,
    permit: Permit,
    /// Accounts for the body of the request.
    _lease: Lease,
}

/// A request body that the client has not sent yet. It is read only after its request is admitted,
/// which is also when the client is told to continue (`100 Continue`).
pub trait RequestBody {
    /// Reads the whole body, of at most `limit` bytes, and grows `lease` as it arrives.
    fn read(
        &mut self,
        limit: usize,
        lease: &mut Lease,
    ) -> impl Future<Output = Result<Bytes, Rejection>> + Send;

    /// Returns when the client, whose body was read, has closed the connection.
    fn left(&mut self) -> impl Future<Output = ()> + Send;
}

impl Exchange {
    /// Switches to the current generation if a reload has replaced this one. Called before each
    /// request.
    pub fn renew(&mut self) {
        if !self.generation.is_replaced() {
            return;
        }
        self.generation = self.current.load_full();
        self.outdated = true;
        if let Some(sni) = &self.peer.sni {
            let sni = self.generation.site.sni(sni.name.clone());
            self.peer = Arc::new(Peer {
                sni: Some(Arc::new(sni)),
                ..Peer::clone(&self.peer)
            });
        }
    }

    /// Returns whether the connection closes once its requests are answered.
    pub fn is_outdated(&self) -> bool {
        self.outdated || self.generation.is_replaced()
    }

    /// Answers a request whose head could be read. `number` is its number within the connection,
    /// from 1.
    pub async fn answer<B: RequestBody>(
        &self,
        number: u64,
        head: Head,
        body: &mut B,
    ) -> Response<Body> {
        // Probes of a load balancer are frequent, and are neither counted nor logged.
        if self.is_probe(&head) {
            return Response::new(Body::own(Bytes::from_static(b"ready\n")));
        }
        let head = Arc::new(head);
        let mut record = self.record(number, Some(head.clone()));
        let call = match self.prepare(&head, body, &mut record).await {
            Ok(call) => call,
            Err(rejection) => return self.reject(record, rejection),
        };
        let is_enrolment = record.operation == Some(Operation::PKIOperation);
        let answer = call.answer(head, record);
        if !is_enrolment {
            return answer.await;
        }
        let mut response = DetachOnDrop::new(answer, &self.process.detached).await;
        if has_left(body) {
            response.body_mut().client_half_closed();
        }
        response
    }

    /// Answers a request whose head could not be read.
    pub fn refuse(&self, number: u64, rejection: Rejection) -> Response<Body> {
        self.reject(self.record(number, None), rejection)
    }

    /// Counts, logs and charges a request that was refused before it came here: its response, or a
    /// reset, is out already. Returns `false` if the client has used up its rate of refusals.
    pub fn record_refusal(&self, number: u64, rejection: Rejection) -> bool {
        let mut record = self.record(number, None);
        record.answered(rejection.status(), Some(rejection));
        record.complete();
        self.charge_refusal()
    }

    /// Charges one refusal to the client. Returns `false` if it has used up its rate of refusals.
    pub fn charge_refusal(&self) -> bool {
        self.charge(Rejection::MalformedHead) == Rejection::MalformedHead
    }

    /// Charges the rejection to the client if it caused it. Returns what the client is told, which
    /// is `RateRefused` if it has used up its rate of refusals.
    fn charge(&self, rejection: Rejection) -> Rejection {
        match rejection.is_charged() {
            true => self.process.rates.refused(self.peer.key, rejection),
            false => rejection,
        }
    }

    /// Rejects a request before it is sent to NDES: charges the client and builds the response.
    fn reject(&self, record: Box<Record>, rejection: Rejection) -> Response<Body> {
        finish(record, Err(self.charge(rejection)))
    }

    fn is_probe(&self, head: &Head) -> bool {
        let path = self.generation.probe_path.as_ref();
        path.is_some_and(|path| path.as_str().as_bytes() == head.target.path())
            && matches!(head.method, Method::Get | Method::Head)
    }

    /// `head` is `None` if it could not be read.
    fn record(&self, number: u64, head: Option<Arc<Head>>) -> Box<Record> {
        Record::start(&self.process, &self.peer, number, head)
    }

    /// Everything that happens before NDES receives the request.
    async fn prepare<B: RequestBody>(
        &self,
        head: &Head,
        body: &mut B,
        record: &mut Record,
    ) -> Result<Call, Rejection> {
        let Generation { limits, site, .. } = &*self.generation;
        let sni = self.peer.sni.as_deref();

        // 1. The gate: is this published?
        let admitted = gate::admit(head, sni, site, limits).inspect_err(|_| {
            record.application = gate::application_of(head, sni, site);
        })?;
        let application = admitted.application.clone();
        record.application = Some(application.clone());
        record.operation = admitted.operation;
        let user_agent = head.user_agent.as_ref();
        if admitted.operation == Some(Operation::PKIOperation) {
            application.scep.enrols(self.peer.key, user_agent);
        }

        // 2. The rate of the client.
        self.process.rates.admitted(self.peer.key)?;

        // 3. The whole body, before NDES receives anything.
        let mut lease = self.process.buffers.lease();
        let bytes = body.read(limits.body_bytes, &mut lease).await?;
        record.request_body = bytes.len();

        // 4. The SCEP message, and whether the application accepts it.
        let request = AdmittedRequest {
            method: &admitted.method,
            operation: admitted.operation,
            target: &admitted.target,
            body: &bytes,
            client: self.peer.key,
            user_agent,
            policy_module: application.policy_module,
            started: record.started,
        };
        let insight = record
            .insight
            .insert(Insight::begin(&application.scep, &request));
        gate::policy::check(&application.scep_policy, insight.message())?;

        // 5. The rate of all clients together, which only requests for NDES use up.
        let upstream = application.upstream().clone();
        let request = self.outgoing(head, &upstream, admitted, bytes)?;
        self.process.rates.forwarded()?;
        insight.passed_checks();

        // 6. A permit: NDES processes a few hundred requests at a time, so the others wait. A client
        // that leaves gives up its place in the queue.
        let permit = match upstream.queue.enter(self.peer.key) {
            Admission::Granted(permit) => {
                record.waited = Some(Duration::ZERO);
                permit
            }
            Admission::Full => return Err(Rejection::UpstreamBusy),
            Admission::Queued(waiter) => {
                let began = Instant::now();
                let permit = tokio::select! {
                    biased;
                    permit = waiter.permit() => permit.ok_or(Rejection::UpstreamBusy),
                    () = body.left() => Err(Rejection::ClientLeft),
                };
                record.waited = Some(began.elapsed());
                permit?
            }
        };
        Ok(Call {
            upstream,
            request,
            permit,
            _lease: lease,
        })
    }

    fn outgoing(
        &self,
        head: &Head,
        upstream: &Upstream,
        admitted: Admitted,
        body: Bytes,
    ) -> Result<Outgoing, Rejection> {
        let Admitted {
            application,
            method,
            operation,
            target,
        } = admitted;
        let fields = fields::request(
            head,
            &method,
            &upstream.host,
            body.len(),
            self.peer.address.ip(),
            application.client_address,
        );
        let mut request = Outgoing::new(self.worker, method, operation, target, fields);
        request.body = body;
        match upstream.max_request_head {
            Some(most) if request.head_bytes() > most => Err(Rejection::UpstreamRequestBytes),
            _ => Ok(request),
        }
    }
}

impl Call {
    /// Step 7: sends the request to NDES and returns the response. Needs no client, so that an enrolment
    /// goes on after its client has left.
    async fn answer(self, head: Arc<Head>, mut record: Box<Record>) -> Response<Body> {
        let upstream = self.upstream;
        let answer = upstream.stack.clone().oneshot(self.request).await;
        let result = match answer {
            Ok(answer) => {
                record.upstream_answered(&answer, &upstream.health);
                let mut response = Body::upstream(answer, self.permit);
                let public = public_host(&head).or_else(|| record.sni());
                let fields = response.headers_mut();
                fields::clean_response(fields, &upstream.internal_names, public);
                Ok(response)
            }
            Err(failure) => {
                record.upstream_failed(&failure, &upstream.health);
                Err(failure.rejection())
            }
        };
        finish(record, result)
    }
}

/// The one place in which a rejection becomes a response, and in which every response gets its
/// record.
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

/// Returns whether the client has closed the connection by now.
fn has_left<B: RequestBody>(body: &mut B) -> bool {
    pin!(body.left())
        .poll(&mut Context::from_waker(Waker::noop()))
        .is_ready()
}

/// Returns Host as the client sent it, with its port. The gate has checked it.
fn public_host(head: &Head) -> Option<&str> {
    match &head.host {
        Host::One(host) => std::str::from_utf8(host).ok(),
        Host::Absent | Host::Several => None,
    }
}
