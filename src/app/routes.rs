//! Every route, grouped by audience. No authority depends on where a route stands: the grant that
//! its handler takes decides.

use actix_web::web::{self, ServiceConfig};

use super::{docs, health};
use crate::modules::{custom, referrals, registry, subscription, wallet};
use crate::{apps, connections, customers, delivery, people, trail};

pub fn routes(config: &mut ServiceConfig) {
    // Apps.
    connections::routes(config);
    connections::waiting_routes(config);
    people::routes(config);
    wallet::routes(config);
    subscription::routes(config);
    referrals::routes(config);
    custom::routes(config);
    delivery::routes(config);
    // Admins.
    apps::routes(config);
    apps::operator_routes(config);
    connections::admin_routes(config);
    people::admin_routes(config);
    customers::routes(config);
    wallet::admin_routes(config);
    subscription::admin_routes(config);
    referrals::admin_routes(config);
    custom::admin_routes(config);
    registry::routes(config);
    registry::jobs::routes(config);
    // Auditors.
    trail::routes(config);
    trail::proof_routes(config);
    // Nobody in particular.
    config
        .service(web::resource("/healthz").route(web::get().to(health::healthz)))
        .service(web::resource("/readyz").route(web::get().to(health::readyz)))
        .service(web::resource("/openapi.json").route(web::get().to(health::openapi)))
        .service(web::resource("/docs").route(web::get().to(docs::page)))
        .service(web::resource("/docs/{file}").route(web::get().to(docs::file)));
}
