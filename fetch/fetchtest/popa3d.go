package fetchtest

import "testing"

// StartPopa3d starts popa3d by connection, with the inbox in an mbox.
func StartPopa3d(t testing.TB) *Server {
	t.Helper()
	u := unpack(t, "popa3d")
	u.own(t, 0, 0, "/var/lib/popa3d") // its chroot
	u.write(t, "/etc/pam.d/popa3d", "@include common-auth\n@include common-account\n")
	s := newServer(t, Server{Version: u.version, User: unpackedUser, Password: unpackedPassword}, nil, u.inetd("popa3d"))
	s.Owner = mbox{u.dir + "/var/mail/" + unpackedUser, unpackedUID}
	return s
}
