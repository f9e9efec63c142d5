# For /etc/postfix/master.cf: the one of Debian's postfix-policyd-spf-perl in its place.
policyd-spf unix -      n       n      -      0       spawn
  user=nobody argv=/usr/sbin/postfix-policyd-spf-perl
