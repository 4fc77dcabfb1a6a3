//! The web server: routes for Twilio, load balancers, Prometheus and operators.
