# /etc/dovecot/sieve/spam.sieve: what has 6 of 15 points, rspamd's own mark for spam, is put aside.
require ["spamtestplus", "relational", "comparator-i;ascii-numeric", "fileinto", "mailbox"];

if spamtest :percent :value "ge" :comparator "i;ascii-numeric" "40" {
  fileinto :create "Junk";
  stop;
}
