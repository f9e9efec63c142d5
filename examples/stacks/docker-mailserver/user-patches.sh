#!/bin/sh
# docker-data/dms/config/user-patches.sh: run by docker-mailserver at each start, before Postfix.
# Puts the listener for truehop into master.cf. postfix-master.cf cannot: it changes services, and adds none.
set -eu
MAIL_CONFIG=${MAIL_CONFIG:-/etc/postfix}
export MAIL_CONFIG
# The address of truehop's container, as in compose.yaml, and nobody else's.
truehop=172.30.25.10
postconf -M '10095/inet=10095 inet n - n - 20 smtpd'
option() { postconf -P "10095/inet/$1"; }
option syslog_name=postfix/truehop
option "smtpd_authorized_xclient_hosts=$truehop"
# Nobody who comes this way relays.
option mynetworks=
option smtpd_relay_restrictions=reject_unauth_destination
option smtpd_sasl_auth_enable=no
option smtpd_tls_security_level=none
# The header stays as it came.
option local_header_rewrite_clients=
option smtpd_forbid_bare_newline=reject
option smtpd_forbid_bare_newline_exclusions=
# What will not change is refused at once.
option unknown_client_reject_code=550
option unknown_hostname_reject_code=550
option unknown_address_reject_code=550
# The pace is truehop's.
option smtpd_client_connection_count_limit=0
option smtpd_client_connection_rate_limit=0
option smtpd_client_message_rate_limit=0
option smtpd_client_recipient_rate_limit=0
option smtpd_error_sleep_time=0
option smtpd_soft_error_limit=1000000
option smtpd_hard_error_limit=1000000
option smtpd_junk_command_limit=1000000
option inet_protocols=all
