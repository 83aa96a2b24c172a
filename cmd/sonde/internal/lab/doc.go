// Package lab is a small Internet on loopback: an origin, a TLS origin and a DNS server for the
// zone lab.test, which answer in every way that an origin can, also the wrong ones. It lets sonde
// be tried out, demonstrated and tested on a machine that has no network.
//
// One table says everything: each entry of [Pages] is a URL, what the lab does there, and what a
// check of it must find out. The lab serves the table, testdata/urls.txt is written from it, and
// tests compare the records of a scan with it.
//
// The URLs have the ports that such URLs have on the Internet, 80 and 443, which a lab cannot
// listen on. [Lab.Dial] leads a prober from there to where the lab does listen; other clients take
// the URLs of [Lab.List].
package lab
