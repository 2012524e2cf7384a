//! The mongod that the tests run on: started once for the process, as a replica set of one.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bson::{Document, doc};
use mongodb::Client;
use mongodb::options::ClientOptions;

/// A server of its own, for tests that set fail points or kill it; stopped when dropped.
pub struct Mongod {
    pub uri: String,
    port: u16,
    folder: PathBuf,
    guard: Child,
}

/// Shared by all tests that do not hurt it. Its guard stops it when this process has ended.
pub fn shared() -> &'static Mongod {
    static SHARED: OnceLock<Mongod> = OnceLock::new();
    SHARED.get_or_init(Mongod::start)
}

/// Stops mongod when the tests' process is gone, however it went, and removes its folder.
const GUARD: &str = r#"
    "$0" "$@" >"$FOLDER/out" 2>&1 & server=$!
    trap 'kill $server 2>/dev/null; wait $server; rm -rf "$FOLDER"; exit 0' TERM
    while kill -0 "$OWNER" 2>/dev/null && kill -0 $server 2>/dev/null; do sleep 0.2; done
    kill $server 2>/dev/null; wait $server; rm -rf "$FOLDER"
"#;

impl Mongod {
    pub fn start() -> Self {
        let port = free_port();
        let folder = std::env::temp_dir().join(format!("purser-it-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let guard = Command::new("bash")
            .args(["-c", GUARD])
            .arg(binary())
            .args(["--replSet", "rs0", "--bind_ip", "127.0.0.1", "--nounixsocket"])
            .args(["--port", &port.to_string()])
            .args(["--wiredTigerCacheSizeGB", "0.5", "--oplogSize", "128"])
            .args(["--setParameter", "ttlMonitorEnabled=false"])
            .args(["--setParameter", "enableTestCommands=1"])
            .args(["--setParameter", "transactionLifetimeLimitSeconds=5"])
            .arg("--dbpath")
            .arg(&folder)
            .env("FOLDER", &folder)
            .env("OWNER", std::process::id().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mongod starts");
        let uri = format!("mongodb://127.0.0.1:{port}/?replicaSet=rs0");
        let mongod = Self { uri, port, folder, guard };
        mongod.initiate();
        mongod
    }

    fn initiate(&self) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let member = format!("127.0.0.1:{}", self.port);
            let uri = format!("mongodb://{member}/?directConnection=true");
            let mut options = ClientOptions::parse(&uri).await.expect("an address");
            options.server_selection_timeout = Some(Duration::from_secs(30));
            let client = Client::with_options(options).expect("a client");
            let admin = client.database("admin");
            let members = vec![doc! { "_id": 0, "host": member }];
            let config = doc! { "_id": "rs0", "members": members,
                "settings": { "electionTimeoutMillis": 1000 } };
            let _ = admin.run_command(doc! { "replSetInitiate": config }).await;
            let until = Instant::now() + Duration::from_secs(30);
            loop {
                let hello = admin.run_command(doc! { "hello": 1 }).await.expect("answers");
                if hello.get_bool("isWritablePrimary").unwrap_or(false) {
                    break;
                }
                assert!(Instant::now() < until, "mongod does not become primary");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
    }

    /// Runs a command on `admin`, such as `configureFailPoint`.
    pub fn admin(&self, command: Document) -> Document {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let client = Client::with_uri_str(&self.uri).await.expect("a client");
            client.database("admin").run_command(command).await.expect("a reply")
        })
    }

    /// Makes commands of Purser fail as `data` says, `mode` times.
    pub fn fail(&self, mode: Document, data: Document) {
        let mut data = data;
        data.insert("appName", "purser");
        self.admin(doc! { "configureFailPoint": "failCommand", "mode": mode, "data": data });
    }

    pub fn heal(&self) {
        self.admin(doc! { "configureFailPoint": "failCommand", "mode": "off" });
    }
}

impl Drop for Mongod {
    fn drop(&mut self) {
        let guard = self.guard.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &guard]).status();
        let _ = self.guard.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// `PURSER_MONGOD`, or what `scripts/mongod path` finds or gets.
fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("PURSER_MONGOD") {
        return path.into();
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/mongod");
    let found = Command::new(script).arg("path").output().expect("scripts/mongod runs");
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    String::from_utf8(found.stdout).expect("a path").trim().into()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}
