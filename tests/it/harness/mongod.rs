//! The mongod that the tests run on: started once for the process, as a replica set of one.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bson::{Bson, Document, doc};
use mongodb::Client;
use mongodb::options::ClientOptions;
use purser::store::{MIGRATION, SERVICE, role_command};

/// The user that tests serve as, on whichever database: it may do what `purser migrate --roles` says,
/// and nothing else. Passwords are the names.
pub const SERVES: &str = "serves";
/// The user that tests migrate as.
pub const MIGRATES: &str = "migrates";
const ROOT: &str = "root";

/// A server of its own, for tests that set fail points or kill it; stopped when dropped.
pub struct Mongod {
    /// Of `root`, who may do everything: for what goes round the API.
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

/// Stops mongod when the tests' process is gone, however it went, and removes its folder. A server
/// that was killed while there is a file `down` is started again once that file is gone.
const GUARD: &str = r#"
    run() { "$0" "$@" >>"$FOLDER/out" 2>&1 & server=$!; }
    end() {
        kill -CONT $server 2>/dev/null; kill $server 2>/dev/null
        wait $server; rm -rf "$FOLDER"; exit 0
    }
    run "$@"
    trap end TERM
    was_down=
    while kill -0 "$OWNER" 2>/dev/null; do
        if [ -e "$FOLDER/down" ]; then
            was_down=1; : >"$FOLDER/seen"
        elif ! kill -0 $server 2>/dev/null; then
            [ -n "$was_down" ] || break
            was_down=; run "$@"
        fi
        sleep 0.1
    done
    end
"#;

const CLOSE_IDLE_FILES: &str =
    "file_manager=(close_idle_time=10,close_scan_interval=2,close_handle_minimum=250)";

/// The fewest that MongoDB takes: how hard passwords are to guess is not what is tested.
const SCRAM_ROUNDS: &str = "scramSHA256IterationCount=5000";

impl Mongod {
    pub fn start() -> Self {
        let mut mongod = Self::launch();
        mongod.initiate();
        // The first user is made by whoever is on the same machine.
        mongod.make_user(ROOT, "root");
        mongod.uri = mongod.uri_of(ROOT, "admin");
        for (user, role) in [(SERVES, SERVICE), (MIGRATES, MIGRATION)] {
            mongod.admin(role_command("createRole", role, ""));
            mongod.make_user(user, role);
        }
        mongod
    }

    fn make_user(&self, user: &str, role: &str) {
        self.admin(doc! { "createUser": user, "pwd": user, "roles": [role],
        "mechanisms": ["SCRAM-SHA-256"] });
    }

    /// For a user whose password is the name, known to that database.
    pub fn uri_of(&self, user: &str, database: &str) -> String {
        let port = self.port;
        format!("mongodb://{user}:{user}@127.0.0.1:{port}/?replicaSet=rs0&authSource={database}")
    }

    fn launch() -> Self {
        let port = free_port();
        let folder = std::env::temp_dir().join(format!("purser-it-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        // Members of a replica set that knows users know each other by this.
        let key = folder.join("key");
        std::fs::write(&key, "bW9uZ29k".repeat(8)).expect("written");
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&key, private).expect("private");
        let guard = Command::new("bash")
            .args(["-c", GUARD])
            .arg(binary())
            .args(["--replSet", "rs0", "--bind_ip", "127.0.0.1", "--nounixsocket"])
            .args(["--port", &port.to_string()])
            .args(["--wiredTigerCacheSizeGB", "0.5", "--oplogSize", "128"])
            // A database for each test is some 60 files for each: those of tests that are over are
            // closed, or mongod runs out of descriptors before the last test.
            .args(["--wiredTigerEngineConfigString", CLOSE_IDLE_FILES])
            .args(["--setParameter", "ttlMonitorEnabled=false"])
            .args(["--setParameter", "enableTestCommands=1"])
            .args(["--setParameter", "transactionLifetimeLimitSeconds=5"])
            .args(["--setParameter", SCRAM_ROUNDS])
            .arg("--keyFile")
            .arg(&key)
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
        Self { uri, port, folder, guard }
    }

    /// Initiates the replica set unless that is done, and waits for its primary.
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

    /// Makes commands of Purser fail as `data` says, `mode` times; `entered` takes the answer.
    pub fn fail(&self, mode: impl Into<Bson>, data: Document) -> i64 {
        let mut data = data;
        data.insert("appName", "purser");
        let fail = doc! { "configureFailPoint": "failCommand", "mode": mode.into(), "data": data };
        let reply = self.admin(fail);
        reply.get_i64("count").or_else(|_| reply.get_i32("count").map(i64::from)).expect("a count")
    }

    /// Waits until a command has met the fail point that was set when `before` was answered.
    pub fn entered(&self, before: i64) {
        self.admin(doc! { "waitForFailPoint": "failCommand", "timesEntered": before + 1,
        "maxTimeMS": 20_000 });
    }

    pub fn heal(&self) {
        self.admin(doc! { "configureFailPoint": "failCommand", "mode": "off" });
    }

    /// As by `kill -9`; the guard keeps it down until `revive`.
    pub fn kill(&self) {
        // What it has seen of an earlier time does not count.
        let _ = std::fs::remove_file(self.folder.join("seen"));
        std::fs::write(self.folder.join("down"), "").expect("a file");
        // The guard must know of it before the server is gone, or it takes that for the end.
        let until = Instant::now() + Duration::from_secs(10);
        while !self.folder.join("seen").exists() {
            assert!(Instant::now() < until, "the guard sees nothing");
            std::thread::sleep(Duration::from_millis(20));
        }
        self.signal("-KILL");
    }

    /// Starts it again on its data, and waits for its primary.
    pub fn revive(&self) {
        std::fs::remove_file(self.folder.join("down")).expect("it is down");
        self.initiate();
    }

    /// It keeps its connections and answers nothing.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let process = std::fs::read_to_string(self.folder.join("mongod.lock")).expect("its id");
        let sent = Command::new("kill").args([signal, process.trim()]).status();
        assert!(sent.expect("kill runs").success(), "{signal} reached no mongod");
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

/// The same server as another user, where it is the root's.
pub fn uri_as(uri: &str, user: &str) -> String {
    uri.replacen(&format!("{ROOT}:{ROOT}@"), &format!("{user}:{user}@"), 1)
}

/// `PURSER_MONGOD`, or what `scripts/mongod path` finds or gets.
fn binary() -> PathBuf {
    if let Some(path) = super::variable("PURSER_MONGOD") {
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
