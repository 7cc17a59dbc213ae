// Signs in to Odoo as a rep and says what stands on the screen: one card, one row of the list, one form, and
// which of our fields can be edited there. Usage: node look.js URL DATABASE LOGIN PASSWORD ACTION RECORD FOLDER
const { chromium } = require("playwright-core");

const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

async function main([url, database, login, password, action, record, folder]) {
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: FLAGS });
  const page = await browser.newPage({ viewport: { width: 1500, height: 1100 } });
  page.setDefaultTimeout(90000);
  const show = async (hash, selector, name) => {
    await page.goto("about:blank");
    await page.goto(`${url}/web#${hash}`);
    await page.waitForSelector(selector);
    await page.waitForTimeout(500);
    await page.screenshot({ path: `${folder}/${name}.png` });
    return page.$$eval(selector, (found) => found.map((each) => each.innerText));
  };
  await page.goto(`${url}/web/login?db=${database}`);
  await page.fill("input[name=login]", login);
  await page.fill("input[name=password]", password);
  await page.click("button[type=submit]");
  await page.waitForSelector(".o_main_navbar, #oe_main_menu_navbar");
  const seen = {};
  seen.cards = await show(`action=${action}&view_type=kanban`, ".o_kanban_record:not(.o_kanban_ghost)", "cards");
  seen.rows = await show(`action=${action}&view_type=list`, ".o_list_view tr", "list");
  seen.form = await show(`id=${record}&model=crm.lead&action=${action}&view_type=form`, ".o_form_sheet", "form");
  await page.click(".o_form_button_edit");
  await page.waitForSelector(".o_form_editable");
  seen.editable = await page.$$eval(
    "input[name^=x_crmbridge_], textarea[name^=x_crmbridge_], select[name^=x_crmbridge_]", (found) => found.length);
  seen.inputs = await page.$$eval(".o_form_editable input, .o_form_editable textarea", (found) => found.length);
  await page.screenshot({ path: `${folder}/edit.png` });
  await browser.close();
  process.stdout.write(JSON.stringify(seen));
}

main(process.argv.slice(2)).catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});
