"""What people look at (`html`), tables for other tools (`export`), one record explained (`explain`)."""
