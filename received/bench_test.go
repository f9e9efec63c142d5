package received

import "testing"

// The commonest forms, by their share of public mail.
var benchFields = []struct{ name, field string }{
	{"postfix-plain", "from mail.example.com (mail.example.com [192.0.2.10])\r\n\tby mx.example.org (Postfix) with ESMTPS id 4TBx2Y5Nz3z9sSN\r\n\tfor <user@example.org>; Mon, 15 Jan 2024 10:00:00 +0100 (CET)"},
	{"postfix", "from mail.example.com (mail.example.com [192.0.2.10])\r\n\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)\r\n\t key-exchange X25519 server-signature RSA-PSS (2048 bits))\r\n\t(No client certificate requested)\r\n\tby mx.example.org (Postfix) with ESMTPS id 4TBx2Y5Nz3z9sSN\r\n\tfor <user@example.org>; Mon, 15 Jan 2024 10:00:00 +0100 (CET)"},
	{"exchange", "from AM0PR01MB0001.eurprd01.prod.outlook.com (2001:db8:610:60::19)\r\n by AM0PR01MB0002.eurprd01.prod.outlook.com (2001:db8:208:374::21) with Microsoft\r\n SMTP Server (version=TLS1_2, cipher=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384) id\r\n 15.20.6631.29; Sat, 29 Jul 2023 21:43:37 +0000"},
	{"google", "by 2002:a05:6214:2a8b:b0:6c1:77d0:4e12 with SMTP id k9csp815231edo;\r\n        Mon, 15 Jan 2024 02:00:00 -0800 (PST)"},
	{"gmail", "from mail.example.com (mail.example.com. [192.0.2.10])\r\n        by mx.google.com with ESMTPS id x1-20020a05si.1.2024.01.15.02.00.00\r\n        for <user@gmail.com>\r\n        (version=TLS1_3 cipher=TLS_AES_256_GCM_SHA384 bits=256/256);\r\n        Mon, 15 Jan 2024 02:00:00 -0800 (PST)"},
	{"exim", "from mail.example.com ([192.0.2.10]:43210 helo=client.example)\r\n\tby mx.example.org with esmtps (TLS1.3) tls TLS_AES_256_GCM_SHA384\r\n\t(Exim 4.96)\r\n\t(envelope-from <sender@example.com>)\r\n\tid 1rPAbc-0001xY-2z\r\n\tfor user@example.org;\r\n\tMon, 15 Jan 2024 10:00:00 +0000"},
	{"sendmail", "from mail.example.com (mail.example.com [192.0.2.10] (may be forged))\r\n\tby mx.example.org (8.17.1/8.17.1) with ESMTP id 40FA0000123456\r\n\tfor <user@example.org>; Mon, 15 Jan 2024 10:00:00 GMT"},
	{"qmail", "from unknown (HELO client.example) (192.0.2.10)\r\n  by mx.example.org with SMTP; 15 Jan 2024 10:00:00 -0000"},
}

func BenchmarkParse(b *testing.B) {
	for _, f := range benchFields {
		value := []byte(f.field)
		b.Run(f.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(value)))
			for b.Loop() {
				if h := Parse(value); h.Err != nil {
					b.Fatal(h.Err)
				}
			}
		})
	}
}

// BenchmarkHeader reads a header of 20 Received fields and finds the boundary.
func BenchmarkHeader(b *testing.B) {
	var header []byte
	for i := range 19 {
		f := "from mx.example.org (mx.example.org [10.0.0.1])\r\n\tby mx.example.org (Postfix) with ESMTPS id 4TBx2Y5Nz3z9sSN\r\n\tfor <user@example.org>; Mon, 15 Jan 2024 10:00:00 +0100 (CET)"
		if i%2 == 1 {
			f = "from localhost (localhost [127.0.0.1])\r\n\tby mx.example.org (Postfix) with ESMTP id 4TBx2Y5Nz3z9sSN\r\n\tfor <user@example.org>; Mon, 15 Jan 2024 10:00:00 +0100 (CET)"
		}
		header = append(header, "Received: "+f+"\r\n"...)
	}
	header = append(header, "Received: "+benchFields[1].field+"\r\nFrom: a@example.com\r\nSubject: x\r\n\r\n"...)
	p := Policy{MX: []string{"mx.example.org"}}
	b.ReportAllocs()
	for b.Loop() {
		if r := ReadChain(header).Boundary(p); r.Hop != 19 {
			b.Fatalf("hop %d: %s", r.Hop, r.Why)
		}
	}
}
