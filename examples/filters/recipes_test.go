//go:build linux

package filters

func recipes() []recipe {
	return []recipe{
		{
			dir: "access-rules", filter: "Postfix's own rules: names, a block list, tables of clients and HELO, our own domain as sender",
			tables: []string{"access-rules/truehop_clients", "access-rules/truehop_helo", "access-rules/truehop_senders"}, further: "EHIU",
			before: "all delivered", after: "A, B, E, H refused 554; C, I, U delivered; D refused 550",
		},
	}
}
