"""The words the sample organisation is made of: people, companies, what reps write. All of it is invented.

E-mail addresses and web sites end in `.example`, which belongs to nobody (RFC 2606).
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Country(NamedTuple):
    """Where people and companies come from. Names are pairs: as written, and plain, for addresses."""

    name: str
    share: float
    dialling: str
    legal: tuple[str, ...]
    first: tuple[tuple[str, str], ...]
    last: tuple[tuple[str, str], ...]


def _names(text: str) -> tuple[tuple[str, str], ...]:
    """`Zoë=zoe Anna` -> (("Zoë", "zoe"), ("Anna", "anna"))."""
    pairs = (word.partition("=") for word in text.split())
    return tuple((shown, plain or shown.lower()) for shown, _, plain in pairs)


COUNTRIES: Final = (
    Country(
        "Germany", 0.34, "+49", ("GmbH", "AG", "KG", "GmbH & Co. KG"),
        _names("Anna Jürgen=juergen Sophie Lukas Käthe=kaethe Emil Mehmet Annika Björn=bjoern Leonie Aylin"),
        _names(
            "Müller=mueller Weiß=weiss Schäfer=schaefer Krüger=krueger Vogel Yılmaz=yilmaz Brandt Winter "
            "Großmann=grossmann Özdemir=oezdemir Köhler=koehler Lorenz"
        ),
    ),
    Country(
        "Austria", 0.07, "+43", ("GmbH", "AG", "OG"),
        _names("Theresa Matthias Valentina Florian Lena Dragan"),
        _names("Gruber Bäuerle=baeuerle Steiner Moser Petrović=petrovic Eder"),
    ),
    Country(
        "Switzerland", 0.07, "+41", ("AG", "GmbH", "SA"),
        _names("Noémie=noemie Urs Céline=celine Reto Giulia Beat"),
        _names("Zürcher=zuercher Favre Bernasconi Huber Rochat Ammann"),
    ),
    Country(
        "France", 0.10, "+33", ("SAS", "SARL", "SA"),
        _names("Chloé=chloe Étienne=etienne Amélie=amelie Karim Hélène=helene Mathieu Aïcha=aicha Loïc=loic"),
        _names("Lefèvre=lefevre Moreau Benali Garçon=garcon Dubois Traoré=traore Rousseau Lemaître=lemaitre"),
    ),
    Country(
        "Netherlands", 0.07, "+31", ("B.V.", "N.V."),
        _names("Sanne Daan Fleur Joost Naïma=naima Sem"),
        _names("Visser Bakker Smit Kuipers Postma Bouali"),
    ),
    Country(
        "Poland", 0.07, "+48", ("Sp. z o.o.", "S.A."),
        _names("Łukasz=lukasz Agnieszka Paweł=pawel Małgorzata=malgorzata Zofia Michał=michal"),
        _names("Wiśniewska=wisniewska Kowalczyk Zieliński=zielinski Dąbrowska=dabrowska Wójcik=wojcik Mazur"),
    ),
    Country(
        "Italy", 0.06, "+39", ("S.r.l.", "S.p.A."),
        _names("Niccolò=niccolo Chiara Lorenzo Beatrice Elisa Davide"),
        _names("D'Angelo=dangelo Conti Gallo Ferrara Marchetti Rinaldi"),
    ),
    Country(
        "Spain", 0.06, "+34", ("S.L.", "S.A."),
        _names("Ángel=angel Lucía=lucia Íñigo=inigo Carmen José=jose Begoña=begona"),
        _names("Muñoz=munoz García=garcia Ibáñez=ibanez Peña=pena Etxeberria Navarro"),
    ),
    Country(
        "Sweden", 0.05, "+46", ("AB",),
        _names("Åsa=asa Björn=bjorn Linnéa=linnea Oskar Märta=marta Nils"),
        _names("Lindström=lindstrom Åkesson=akesson Sjöberg=sjoberg Nyström=nystrom Ek Hedlund"),
    ),
    Country(
        "United Kingdom", 0.06, "+44", ("Ltd", "PLC"),
        _names("Aoife Oliver Priya Gareth Charlotte Callum Imani Rhys"),
        _names("O'Connor=oconnor Patel Whitfield Pryce Okafor Barlow Nguyễn=nguyen Sutherland"),
    ),
    Country(
        "Japan", 0.03, "+81", ("K.K.",),
        _names("美咲=misaki 健太=kenta さくら=sakura 大輔=daisuke"),
        _names("佐藤=sato 鈴木=suzuki 高橋=takahashi 渡辺=watanabe"),
    ),
    Country(
        "China", 0.02, "+86", ("Co., Ltd.",),
        _names("伟=wei 芳=fang 敏=min 静=jing"),
        _names("王=wang 李=li 张=zhang 陈=chen"),
    ),
)  # fmt: skip

COMPANY_STEMS: Final = (
    "Nordlicht", "Alpina", "Brückner", "Kestrel", "Morgenrot", "Silberfluss", "Tannhof", "Halvorsen",
    "Ostara", "Veldkamp", "Quellen", "Lumen", "Aurelia", "Borealis", "Castell", "Delfino", "Eichgrund",
    "Fjordline", "Granit", "Hanseat", "Isolde", "Jurassa", "Kupferberg", "Lindenau", "Meridian", "Novara",
    "Örebro", "Primavera", "Quarz", "Rheingold", "Sonnfeld", "Terrano", "Ulmen", "Vistula", "Westwind",
    "Xanten", "Ypsilon", "Zephyr", "Ambrosia", "Blauwal", "Cardinal", "Domino", "Estrela", "Falkenau",
)  # fmt: skip
COMPANY_BRANCHES: Final = (
    "Logistik", "Systems", "Medical", "Energy", "Foods", "Maschinenbau", "Software", "Retail", "Textil",
    "Optics", "Robotics", "Consulting", "Pharma", "Packaging", "Automation", "Analytics", "Baustoffe",
    "Print", "Ventures", "Instruments",
)  # fmt: skip
COMPANY_PLACES: Final = (
    "", "", "", "Nord", "Süd", "West", "Ost", "Rhein", "Donau", "Baltic", "Iberia", "Nordic", "Adria",
    "Helvetia", "Mare", "Bodensee", "Elbe", "Tatra", "Ardenne", "Lombardia",
)  # fmt: skip
TITLES: Final = (
    "Managing Director", "Head of Purchasing", "IT Manager", "Geschäftsführerin", "Operations Manager", "CFO",
    "Project Manager", "Werkleiter", "Head of Sales", "Assistant",
)  # fmt: skip
CAMPAIGNS: Final = (
    "Spring Mailing", "Autumn Mailing", "Webinar “Less paper”", "White Paper Download", "Hannover Fair",
    "Retargeting", "Customer Day, Köln", "Newsletter Q1", "Newsletter Q3", "Partner Roadshow",
)  # fmt: skip
SUBJECTS: Final = {
    "call": ("First call", "Call back", "Follow-up call", "Call: open questions", "Call about the offer"),
    "meeting": ("Demo", "On-site visit", "Workshop, part 1", "Meet purchasing", 'Review "status quo"'),
    "email": ("Intro", "Sent the brochure", "Your question of yesterday", "Re: offer, terms", "Thank you"),
    "task": ("Prepare the offer", "Update the record", "Ask legal", "Check references"),
    "note": ("Note", "Note: prefers mornings"),
}
DISQUALIFIED: Final = ("No budget", "No need", "Not reachable", "Bought elsewhere", "Wrong contact")
LOSS_REASONS: Final = ("Price", "Competitor", "Project cancelled", "No decision", "Missing feature")
COMPETITORS: Final = ("Incumbent", "Low-cost rival", "In-house team")
ROLES: Final = ("Account Executive", "Senior Account Executive", "Inside Sales", "Key Account Manager")
