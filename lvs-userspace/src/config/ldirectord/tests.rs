//! What files mean, and what is told about wrong ones.
use super::*;

#[test]
fn a_usual_file_loads() {
    let reading = parse(
        "checktimeout=3\ncheckinterval=1\nquiescent=no\n\nvirtual=192.168.6.240:80\n\treal=192.168.6.2:80 gate\n\treal=192.168.6.3->192.168.6.6:80 masq 5\n\tfallback=127.0.0.1:80 gate\n\tservice=http\n\tscheduler=rr\n\tprotocol=tcp\n\tchecktype=negotiate\n\trequest=\"index.html\"\n\treceive=\"Test Page\"\n\tvirtualhost=www.x.y.z\n",
    );
    assert!(reading.configuration.is_some());
}
